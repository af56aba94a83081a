// What a JSON Schema says, in the few forms that Python annotations produce.

/** The schema itself with `$ref` followed, one level deep. */
export function resolve(schema, root) {
  let found = schema ?? {};
  const seen = new Set();
  while (found.$ref && !seen.has(found.$ref)) {
    seen.add(found.$ref);
    const { $ref, ...rest } = found;
    const target = $ref.replace(/^#\/?/, "").split("/").filter(Boolean)
      .reduce((node, part) => node?.[part.replaceAll("~1", "/").replaceAll("~0", "~")], root);
    found = { ...(target ?? {}), ...rest };
  }
  return found;
}

/** Takes `null` out of a union: what is left, and whether null was in it. */
export function withoutNull(schema, root) {
  const whole = resolve(schema, root);
  if (Array.isArray(whole.type) && whole.type.includes("null")) {
    const types = whole.type.filter((type) => type !== "null");
    return { schema: { ...whole, type: types.length === 1 ? types[0] : types }, nullable: true };
  }
  const options = whole.anyOf ?? whole.oneOf;
  if (!options) return { schema: whole, nullable: whole.type === "null" };
  const others = options.filter((option) => resolve(option, root).type !== "null");
  if (others.length === options.length) return { schema: whole, nullable: false };
  const { anyOf, oneOf, ...rest } = whole;
  const left = others.length === 1 ? { ...resolve(others[0], root), ...rest } : { ...rest, anyOf: others };
  return { schema: left, nullable: true };
}

/** The kind of control or description that fits: one word. */
export function kindOf(schema) {
  if (schema.enum || "const" in schema) return "enum";
  if (schema.anyOf || schema.oneOf || schema.allOf || Array.isArray(schema.type)) return "any";
  if (schema.type === "string" && schema.contentEncoding === "base64") return "file";
  if (schema.type === "string" && schema.format === "binary") return "file";
  if (schema.type === "object") return schema.properties ? "object" : "any";
  if (schema.type === "array") return schema.prefixItems ? "any" : "array";
  return schema.type ?? "any";
}

/** A type as a reader wants it: `list of number`, `string or null`. */
export function typeName(schema, root) {
  const { schema: plain, nullable } = withoutNull(schema, root);
  return nullable && plain.type !== "null" ? `${baseName(plain, root)} or null` : baseName(plain, root);
}

function baseName(schema, root) {
  const options = schema.anyOf ?? schema.oneOf;
  if (options) return options.map((option) => typeName(option, root)).join(" or ");
  if (schema.enum) return schema.enum.length > 4 ? "choice" : schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.contentEncoding === "base64") return "base64";
  if (schema.format === "binary") return "bytes";
  if (schema.type === "array") return arrayName(schema, root);
  if (schema.type === "object") return objectName(schema, root);
  if (Array.isArray(schema.type)) return schema.type.join(" or ");
  return schema.format ?? schema.type ?? "any";
}

function arrayName(schema, root) {
  if (schema.prefixItems) return `[${schema.prefixItems.map((item) => typeName(item, root)).join(", ")}]`;
  const items = schema.items && Object.keys(schema.items).length ? typeName(schema.items, root) : "any";
  return `list of ${items}`;
}

function objectName(schema, root) {
  const values = schema.additionalProperties;
  if (schema.properties || typeof values !== "object" || !Object.keys(values).length) return schema.title ?? "object";
  return `object of ${typeName(values, root)}`;
}

/** The limits of a value in short: `0 to 1`, `at most 200 characters`. */
export function limits(schema) {
  const between = (low, high, unit) => {
    if (low !== undefined && high !== undefined) return `${low} to ${high}${unit}`;
    if (low !== undefined) return `at least ${low}${unit}`;
    return high !== undefined ? `at most ${high}${unit}` : null;
  };
  const parts = [
    between(schema.minimum, schema.maximum, ""),
    schema.exclusiveMinimum !== undefined ? `above ${schema.exclusiveMinimum}` : null,
    schema.exclusiveMaximum !== undefined ? `below ${schema.exclusiveMaximum}` : null,
    schema.multipleOf !== undefined ? `a multiple of ${schema.multipleOf}` : null,
    between(schema.minLength, schema.maxLength, " characters"),
    between(schema.minItems, schema.maxItems, " items"),
    schema.pattern ? `matches ${schema.pattern}` : null,
  ];
  return parts.filter(Boolean).join(", ");
}
