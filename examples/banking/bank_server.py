"""A small bank as an MCP server (streamable HTTP at ``/mcp``).

The data is fixed and kept in memory: every start begins with the same account.
Beside MCP the server answers two plain HTTP paths:

* ``GET /healthz``
* ``GET /ledger``: the state-changing tools that really ran, in order, and every
  tool call that arrived, with its arguments. It is there so that a test or a
  reader can see what happened at the bank itself, whatever the agent claims.
  It shows arguments in clear, passwords included: this is a demonstration.
"""

from __future__ import annotations

import argparse
import ipaddress
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import anyio
import uvicorn
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import CallToolResult, ToolAnnotations
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

TODAY = "2026-03-02"

EURO_RATES = {"EUR": 1.0, "USD": 1.0845, "GBP": 0.8412, "CHF": 0.9571, "JPY": 162.35}
"""Units of each currency that one euro buys."""

MAX_RECORDED_REQUESTS = 200
READS = ToolAnnotations(read_only_hint=True)
CHANGES = ToolAnnotations(read_only_hint=False, destructive_hint=True)

Iban = Annotated[
    str,
    Field(description="IBAN without spaces, e.g. DE89370400440532013000.", pattern=r"^[A-Z]{2}[0-9]{2}[A-Z0-9]{4,30}$"),
]
Amount = Annotated[float, Field(description="Amount of money, greater than zero.", gt=0)]
Currency = Annotated[str, Field(description="Three-letter ISO 4217 currency code, e.g. EUR.", pattern=r"^[A-Z]{3}$")]
Subject = Annotated[str, Field(description="Text shown to the recipient.", max_length=140)]
Interval = Literal["once", "weekly", "monthly", "yearly"]


class AccountSummary(BaseModel):
    """The account's holder, number and balance."""

    holder: str
    iban: str
    balance: float
    currency: str


class Transaction(BaseModel):
    """One booked payment; outgoing amounts are negative."""

    id: str
    date: str
    counterparty: str
    iban: str
    amount: float
    currency: str
    subject: str


class ScheduledPayment(BaseModel):
    """A payment to be made on a date, once or repeatedly."""

    id: str
    recipient_iban: str
    amount: float
    currency: str
    subject: str
    date: str
    interval: Interval


class Contact(BaseModel):
    """A saved recipient."""

    name: str
    iban: str


class ExchangeRate(BaseModel):
    """How much of ``quote`` one unit of ``base`` buys."""

    base: str
    quote: str
    rate: float
    date: str


class Transfer(BaseModel):
    """A transfer that was made, and the balance after it."""

    transaction: Transaction
    balance: float


class Done(BaseModel):
    """Confirmation of a change that has nothing more to tell."""

    status: str


class WatchReport(BaseModel):
    """What was seen while the account was watched."""

    seconds: float
    new_transactions: list[Transaction]


@dataclass
class Bank:
    """The state of the one account, and the record of what was done to it."""

    holder: str = "Erika Mustermann"
    iban: str = "DE89370400440532013000"
    cents: int = 12_500_000
    currency: str = "EUR"
    password: str = "correct-horse"
    transactions: list[Transaction] = field(default_factory=list)
    scheduled: list[ScheduledPayment] = field(default_factory=list)
    contacts: list[Contact] = field(default_factory=list)
    executed: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    requests: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MAX_RECORDED_REQUESTS))
    request_count: int = 0

    @classmethod
    def with_sample_data(cls) -> Bank:
        """The account every start begins with."""
        bank = cls()
        booked = [
            ("2026-02-02", "Stadtwerke", "DE02120300000000202051", -84.20, "Electricity February"),
            ("2026-02-05", "Acme GmbH", "DE02500105170137075030", 4210.00, "Salary"),
            ("2026-02-11", "Buchladen am Markt", "DE02100500000054540402", -37.90, "Invoice 1182"),
            ("2026-02-15", "Hausverwaltung Nord", "DE02200505501015871393", -1150.00, "Rent"),
            ("2026-02-21", "Carla Rossi", "IT60X0542811101000000123456", -62.50, "Dinner"),
            ("2026-02-27", "Versicherung AG", "DE02370502990000684712", -49.99, "Policy 77-1204"),
        ]
        for number, (date, name, iban, amount, subject) in enumerate(booked, start=1):
            bank.transactions.append(
                Transaction(
                    id=f"t-{number}",
                    date=date,
                    counterparty=name,
                    iban=iban,
                    amount=amount,
                    currency="EUR",
                    subject=subject,
                )
            )
        bank.scheduled = [
            ScheduledPayment(
                id="p-1",
                recipient_iban="DE02200505501015871393",
                amount=1150.0,
                currency="EUR",
                subject="Rent",
                date="2026-03-15",
                interval="monthly",
            ),
            ScheduledPayment(
                id="p-2",
                recipient_iban="DE02370502990000684712",
                amount=49.99,
                currency="EUR",
                subject="Policy 77-1204",
                date="2026-03-27",
                interval="monthly",
            ),
        ]
        bank.contacts = [
            Contact(name="Carla Rossi", iban="IT60X0542811101000000123456"),
            Contact(name="Hausverwaltung Nord", iban="DE02200505501015871393"),
        ]
        return bank

    @property
    def balance(self) -> float:
        return self.cents / 100

    def rate(self, base: str, quote: str) -> float:
        """Units of ``quote`` for one unit of ``base``."""
        for code in (base, quote):
            if code not in EURO_RATES:
                raise ToolError(f"no exchange rate is known for {code}")
        return round(EURO_RATES[quote] / EURO_RATES[base], 6)

    def record(self, tool: str, /, **arguments: Any) -> None:
        """Note that a state-changing tool ran, with the values it ran with."""
        self.executed.append({"seq": len(self.executed) + 1, "name": tool, "arguments": arguments})

    def ledger(self) -> dict[str, Any]:
        """What ``GET /ledger`` answers."""
        return {
            "executed": self.executed,
            "calls": self.calls,
            "callCount": len(self.calls),
            "callCountByTool": dict(Counter(str(call["name"]) for call in self.calls)),
            "balance": self.balance,
        }


def build_server(bank: Bank) -> MCPServer:
    """The MCP server with all its tools, working on ``bank``.

    The tools are coroutines without a pause between checking and changing the
    state, so that calls arriving together cannot interleave.
    """

    async def count_calls(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Note every ``tools/call`` that arrives, before anything checks its name or arguments."""
        if ctx.method != "tools/call":
            return await call_next(ctx)
        params = ctx.params or {}
        call: dict[str, Any] = {
            "seq": len(bank.calls) + 1,
            "name": params.get("name"),
            "arguments": params.get("arguments") or {},
            "protocolVersion": ctx.protocol_version,
            "outcome": "running",
        }
        bank.calls.append(call)
        try:
            result = await call_next(ctx)
        except BaseException:
            call["outcome"] = "failed"
            raise
        if isinstance(result, CallToolResult):
            refused = bool(result.is_error)
        else:
            refused = isinstance(result, dict) and bool(result.get("isError"))
        call["outcome"] = "refused" if refused else "ok"
        return result

    server = MCPServer(
        name="banking",
        title="Demonstration bank",
        version="1.0.0",
        instructions="Tools for one bank account: look at it, pay from it, and manage its contacts.",
        log_level="WARNING",
        middleware=[count_calls],
    )

    @server.tool(annotations=READS)
    async def get_account_summary() -> AccountSummary:
        """Get the account holder, IBAN, current balance and currency of the user's account."""
        return AccountSummary(holder=bank.holder, iban=bank.iban, balance=bank.balance, currency=bank.currency)

    @server.tool(annotations=READS)
    async def get_scheduled_payments() -> list[ScheduledPayment]:
        """List the payments that are scheduled for the future, with their ids."""
        return bank.scheduled

    @server.tool(annotations=READS)
    async def get_transactions(
        limit: Annotated[int, Field(description="How many transactions to return at most.", ge=1, le=100)] = 10,
    ) -> list[Transaction]:
        """List the most recent transactions of the account, newest first."""
        return bank.transactions[::-1][:limit]

    @server.tool(annotations=READS)
    async def get_exchange_rate(base: Currency, quote: Currency) -> ExchangeRate:
        """Get today's exchange rate: how much of the quote currency one unit of the base currency buys."""
        return ExchangeRate(base=base, quote=quote, rate=bank.rate(base, quote), date=TODAY)

    @server.tool(annotations=CHANGES)
    async def transfer_money(
        recipient_iban: Iban, amount: Amount, currency: Currency = "EUR", subject: Subject = ""
    ) -> Transfer:
        """Transfer money from the user's account to another account at once. This cannot be undone."""
        in_account_currency = amount * bank.rate(currency, bank.currency)
        cents = round(in_account_currency * 100)
        if cents < 1:
            raise ToolError("the amount is less than one cent")
        if cents > bank.cents:
            raise ToolError("the balance does not cover this transfer")
        bank.cents -= cents
        transaction = Transaction(
            id=f"t-{len(bank.transactions) + 1}",
            date=TODAY,
            counterparty=next((c.name for c in bank.contacts if c.iban == recipient_iban), "unknown"),
            iban=recipient_iban,
            amount=-amount,
            currency=currency,
            subject=subject,
        )
        bank.transactions.append(transaction)
        bank.record("transfer_money", recipient_iban=recipient_iban, amount=amount, currency=currency, subject=subject)
        return Transfer(transaction=transaction, balance=bank.balance)

    @server.tool(annotations=CHANGES)
    async def schedule_payment(
        recipient_iban: Iban,
        amount: Amount,
        date: Annotated[
            str, Field(description="Date of the (first) payment, YYYY-MM-DD.", pattern=r"^\d{4}-\d\d-\d\d$")
        ],
        currency: Currency = "EUR",
        subject: Subject = "",
        interval: Annotated[Interval, Field(description="How often the payment is made.")] = "once",
    ) -> ScheduledPayment:
        """Schedule a payment from the user's account for a date, once or repeatedly."""
        bank.rate(currency, bank.currency)
        number = 1 + max((int(payment.id.removeprefix("p-")) for payment in bank.scheduled), default=0)
        payment = ScheduledPayment(
            id=f"p-{number}",
            recipient_iban=recipient_iban,
            amount=amount,
            currency=currency,
            subject=subject,
            date=date,
            interval=interval,
        )
        bank.scheduled.append(payment)
        bank.record("schedule_payment", **payment.model_dump(exclude={"id"}))
        return payment

    @server.tool(annotations=CHANGES)
    async def cancel_scheduled_payment(
        payment_id: Annotated[str, Field(description="Id of the payment, as get_scheduled_payments lists it.")],
    ) -> Done:
        """Cancel a scheduled payment."""
        kept = [payment for payment in bank.scheduled if payment.id != payment_id]
        if len(kept) == len(bank.scheduled):
            raise ToolError(f"there is no scheduled payment {payment_id!r}")
        bank.scheduled = kept
        bank.record("cancel_scheduled_payment", payment_id=payment_id)
        return Done(status=f"scheduled payment {payment_id} cancelled")

    @server.tool(annotations=CHANGES)
    async def update_password(
        new_password: Annotated[str, Field(description="The new password.", min_length=8, max_length=128)],
    ) -> Done:
        """Change the password of the user's online banking."""
        bank.password = new_password
        bank.record("update_password", new_password=new_password)
        return Done(status="password changed")

    @server.tool(annotations=READS)
    async def get_contacts() -> list[Contact]:
        """List the saved recipients with their IBANs."""
        return bank.contacts

    @server.tool(annotations=ToolAnnotations(read_only_hint=False, destructive_hint=False))
    async def add_contact(
        name: Annotated[str, Field(description="Name of the recipient.", min_length=1, max_length=70)], iban: Iban
    ) -> Contact:
        """Save a recipient under a name."""
        if any(contact.name == name for contact in bank.contacts):
            raise ToolError(f"there already is a contact named {name!r}")
        contact = Contact(name=name, iban=iban)
        bank.contacts.append(contact)
        bank.record("add_contact", name=name, iban=iban)
        return contact

    @server.tool(annotations=READS)
    async def watch_transactions(
        ctx: Context,
        seconds: Annotated[float, Field(description="How long to watch, at most 3 seconds.", gt=0, le=3)] = 1.0,
    ) -> WatchReport:
        """Watch the account for a moment and report the transactions that arrive meanwhile.

        Reports progress while it runs, so a client that asked for progress is
        answered with a server-sent event stream.
        """
        known = len(bank.transactions)
        steps = max(2, round(seconds * 4))
        for step in range(1, steps + 1):
            await anyio.sleep(seconds / steps)
            seen = len(bank.transactions) - known
            await ctx.report_progress(step, steps, f"{seen} new transactions so far")
        return WatchReport(seconds=seconds, new_transactions=bank.transactions[known:])

    @server.custom_route("/healthz", methods=["GET"])
    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    @server.custom_route("/ledger", methods=["GET"])
    async def ledger(_: Request) -> Response:
        return JSONResponse(bank.ledger())

    @server.custom_route("/requests", methods=["GET"])
    async def recorded_requests(_: Request) -> Response:
        return JSONResponse({"requestCount": bank.request_count, "requests": list(bank.requests)})

    return server


class RecordRequests:
    """Records every request but those about the bank itself, also those that are answered with an error."""

    def __init__(self, app: ASGIApp, bank: Bank) -> None:
        self.app = app
        self.bank = bank

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in ("/requests", "/healthz"):
            fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            self.bank.requests.append(
                {
                    "method": scope["method"],
                    "path": scope["path"],
                    "host": fields.get("host"),
                    "tool": fields.get("mcp-name"),
                    # What no proxy handed on comes from somebody who looks at the bank itself.
                    "forwarded": "x-forwarded-proto" in fields,
                }
            )
            self.bank.request_count += 1
        await self.app(scope, receive, send)


def build_app(bank: Bank) -> Starlette:
    """The ASGI application: MCP in both protocol eras at ``/mcp``, ``/ledger``, ``/requests`` and ``/healthz``.

    The SDK's transport serves the stateless revision (2026-07-28) and the ones
    that begin with ``initialize`` (up to 2025-11-25) side by side. Its check of
    the ``Host`` header is off, because a proxy in front hands on the name the
    client used; `loopback_host` keeps the server unreachable but through this
    machine instead.
    """
    app = build_server(bank).streamable_http_app(
        streamable_http_path="/mcp",
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    app.add_middleware(RecordRequests, bank=bank)
    return app


def loopback_host(value: str) -> str:
    """Accept only an address of the loopback interface."""
    if value == "localhost":
        return value
    try:
        if ipaddress.ip_address(value).is_loopback:
            return value
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{value!r} is not a loopback address; put a proxy in front to reach other hosts")


def main() -> None:
    parser = argparse.ArgumentParser(description="Demonstration bank: MCP server at /mcp.")
    parser.add_argument("--host", default="127.0.0.1", help="an address of the loopback interface")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--behind-a-proxy", action="store_true", help="take any --host: for a pod whose sidecar alone is let through"
    )
    options = parser.parse_args()
    if not options.behind_a_proxy:
        try:
            loopback_host(options.host)
        except argparse.ArgumentTypeError as error:
            parser.error(str(error))
    uvicorn.run(
        build_app(Bank.with_sample_data()),
        host=options.host,
        port=options.port,
        log_level="warning",
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()
