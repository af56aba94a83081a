"""Churn: a request has only a customer's number; hooks fetch the features and keep a log.

The hooks run beside the predictions: while one request waits for the database, the model works for
others, and nobody waits for the log.
"""

from __future__ import annotations

import csv
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

import numpy as np
from mlfunc_runtime import Problem

CUSTOMERS = Path(__file__).with_name("customers.csv")
DATABASE = Path(gettempdir(), "mlfunc-enrich.db")
TABLES = """
    PRAGMA journal_mode = WAL;
    CREATE TABLE IF NOT EXISTS customers (id INTEGER PRIMARY KEY, months, orders, complaints);
    CREATE TABLE IF NOT EXISTS predictions (
        request TEXT PRIMARY KEY, at TEXT DEFAULT CURRENT_TIMESTAMP, customer INTEGER, risk REAL
    );
"""


@dataclass
class Answer:
    customer: int
    risk: float


class Churn:
    """Tell how likely a customer is to leave, from 0 to 1."""

    example = {"customer": 7}

    def load(self, context):
        model = json.loads(context.model("default").read_text())
        self.weights, self.bias = np.array(model["weights"]), model["bias"]
        self.database = os.environ.get("DATABASE", DATABASE)
        with CUSTOMERS.open(newline="") as file, self.connect() as database:
            database.executescript(TABLES)
            database.executemany(
                "INSERT OR IGNORE INTO customers VALUES (:id, :months, :orders, :complaints)",
                csv.DictReader(file),
            )

    # Its parameters are the fields of a request, its result is predict's input.
    def before_predict(self, customer: int) -> list[float]:
        query = "SELECT months, orders, complaints FROM customers WHERE id = ?"
        with self.connect() as database:
            row = database.execute(query, (customer,)).fetchone()
        if row is None:
            raise Problem(404, f"there is no customer {customer}", field="customer")
        return [float(value) for value in row]

    def predict(self, features: list[list[float]]) -> list[float]:
        return (1 / (1 + np.exp(-np.array(features) @ self.weights - self.bias))).tolist()

    def after_predict(self, result, request) -> Answer:
        return Answer(request.data["customer"], round(result, 3))

    def after_response(self, result, request):
        row = (request.id, result.customer, result.risk)
        with self.connect() as database:
            # By the request's id: writing it twice leaves one row.
            database.execute(
                "INSERT OR IGNORE INTO predictions (request, customer, risk) VALUES (?, ?, ?)", row
            )

    @contextmanager
    def connect(self) -> Iterator[sqlite3.Connection]:
        # A connection for each use: hooks run many at a time, and each is a transaction of its own.
        with closing(sqlite3.connect(self.database)) as database, database:
            yield database
