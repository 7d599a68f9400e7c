"""The data contract: six tables that every stage after ingest may rely on.

Conventions
    identifiers  keyed tokens of 26 characters, never the lender's own numbers of people
    event_time   when the thing happened, UTC
    known_at     when the lender could first know of it, UTC; no feature of an application may use a row whose
                 ``known_at`` is later than the application's ``decided_at``
    money        decimal(18, 2) in the row's own ``currency`` (ISO 4217)
    day counts   whole days

A table may carry the columns of ``PROVENANCE`` besides its own; ``applications`` may also carry ready attributes
that a mapping declares, in columns named ``attribute_<name>``.
"""

from dataclasses import dataclass

import pyarrow as pa

IDENTIFIER = pa.string()
CATEGORY = pa.string()
TIME = pa.timestamp("us", tz="UTC")
DAY = pa.date32()
MONEY = pa.decimal128(18, 2)
COUNT = pa.int32()
FLAG = pa.bool_()

CURRENCIES = ("PEN", "USD", "EUR", "NGN", "TWD", "DEM")
ATTRIBUTE_PREFIX = "attribute_"
# A table of the clean dataset besides the contract's: the loans of which a row lies in quarantine, by ``loan_id``.
DOUBTFUL_LOANS = "doubtful_loans"

# Where a row came from, and what ingest could not read of it: kept until quarantine, so that a reason has a place.
PROVENANCE = pa.schema([("source_file", pa.string()), ("source_row", pa.int64()), ("problems", pa.list_(pa.string()))])


@dataclass(frozen=True)
class Field:
    """One column of a table.

    Args:
        name: Column name, the same in every stage.
        type: Arrow type.
        description: What it holds, for the people who write a mapping.
        unit: Unit of a number, such as ``days``; empty where it has none.
        required: Whether a row without it is refused.
        allowed: The values allowed; empty means any.
        minimum: Least value allowed, for numbers and money.
        maximum: Greatest value allowed, for numbers and money.
    """

    name: str
    type: pa.DataType
    description: str
    unit: str = ""
    required: bool = False
    allowed: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class Table:
    """One table of the contract.

    Args:
        name: Table name.
        description: What a row is.
        key: Columns that together tell one row from another.
        fields: Its columns, in order.
        references: Column of this table to ``table.column`` that must hold the same value.
    """

    name: str
    description: str
    key: tuple[str, ...]
    fields: tuple[Field, ...]
    references: dict[str, str]

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema of the columns, in order."""
        return pa.schema([(field.name, field.type) for field in self.fields])

    def field(self, name: str) -> Field:
        """The column of that name; KeyError where there is none."""
        return {field.name: field for field in self.fields}[name]


_BORROWER = Field("borrower_id", IDENTIFIER, "Token of the person or firm.", required=True)
_EVENT = Field("event_time", TIME, "When it happened.", required=True)
_KNOWN = Field("known_at", TIME, "When the lender could first know of it.", required=True)
_CURRENCY = Field("currency", CATEGORY, "Currency of the row's amounts (ISO 4217).", required=True, allowed=CURRENCIES)
_TERM = Field("term_days", COUNT, "Contractual term.", unit="days", minimum=1, maximum=18_300)
_PRODUCT = Field(
    "product", CATEGORY, "Credit type.", allowed=("micro", "small_business", "consumer", "mortgage", "other")
)
_PURPOSE = Field(
    "purpose",
    CATEGORY,
    "What the money is for.",
    allowed=("working_capital", "fixed_asset", "housing", "consumption", "education", "debt_purchase", "other"),
)

BORROWERS = Table(
    "borrowers",
    "What the lender knows of a person from a day on; a later row replaces an earlier one.",
    ("borrower_id", "event_time"),
    (
        _BORROWER,
        _EVENT,
        _KNOWN,
        Field("birth_month", DAY, "First day of the month of birth; never an input of a model."),
        Field("sex", CATEGORY, "Sex as recorded; never an input of a model.", allowed=("female", "male", "other")),
        Field("language", CATEGORY, "Mother tongue; never an input of a model."),
        Field("department", CATEGORY, "Department (first two digits of the INEI UBIGEO); never an input of a model."),
        Field("rural", FLAG, "Whether the place of living is rural; never an input of a model."),
        Field(
            "marital_status",
            CATEGORY,
            "Marital status.",
            allowed=("single", "married", "cohabiting", "divorced", "widowed"),
        ),
        Field(
            "education",
            CATEGORY,
            "Highest schooling.",
            allowed=("none", "primary", "secondary", "technical", "university", "postgraduate"),
        ),
        Field("dependants", COUNT, "People who live on the borrower's income.", unit="people", minimum=0, maximum=30),
        Field("housing", CATEGORY, "Housing.", allowed=("owned", "rented", "family", "other")),
        Field(
            "employment",
            CATEGORY,
            "How the borrower earns.",
            allowed=("permanent", "temporary", "self_employed", "unemployed", "retired", "student"),
        ),
        Field(
            "sector",
            CATEGORY,
            "Economic activity.",
            allowed=(
                "commerce",
                "agriculture",
                "livestock",
                "transport",
                "manufacture",
                "services",
                "food",
                "construction",
                "fishing",
                "salaried",
                "other",
            ),
        ),
        Field("business_since", DAY, "First day of the month in which the business or job began."),
        Field("account_type", CATEGORY, "Kind of bank account.", allowed=("savings", "current", "other")),
        Field("branch", CATEGORY, "Branch that keeps the file."),
    ),
    {},
)

LOANS = Table(
    "loans",
    "A loan as it was disbursed; what became of it stands in repayments.",
    ("loan_id",),
    (
        Field("loan_id", IDENTIFIER, "Token of the loan.", required=True),
        _BORROWER,
        _EVENT,
        _KNOWN,
        Field("application_id", IDENTIFIER, "Application that led to it."),
        Field("principal", MONEY, "Amount disbursed.", unit="currency", required=True, minimum=0.01),
        Field("total_due", MONEY, "Principal with interest and fees over the whole term.", unit="currency", minimum=0),
        _CURRENCY,
        _TERM,
        Field("instalments", COUNT, "Number of instalments.", minimum=1, maximum=600),
        Field(
            "annual_rate", pa.float64(), "Effective annual rate, 0.43 for 43 %.", unit="share", minimum=0, maximum=20
        ),
        _PRODUCT,
        _PURPOSE,
        Field(
            "kind",
            CATEGORY,
            "New money, or an older debt under new terms.",
            required=True,
            allowed=("new", "refinanced", "reprogrammed"),
        ),
        Field("replaces_loan_id", IDENTIFIER, "Loan that a refinanced one replaces."),
    ),
    {"borrower_id": "borrowers.borrower_id"},
)

REPAYMENTS = Table(
    "repayments",
    "An event in the life of a loan: an instalment falls due, a payment, its reversal, a fee, a closing, a write-off.",
    ("repayment_id",),
    (
        Field("repayment_id", IDENTIFIER, "Token of the event.", required=True),
        Field("loan_id", IDENTIFIER, "Loan it belongs to.", required=True),
        _BORROWER,
        _EVENT,
        _KNOWN,
        Field(
            "kind",
            CATEGORY,
            "What happened.",
            required=True,
            allowed=("due", "payment", "reversal", "fee", "closing", "refinancing", "write_off", "judicial"),
        ),
        Field("instalment", COUNT, "Number of the instalment, from 1.", minimum=1, maximum=600),
        Field("due_on", DAY, "Contractual due date of the instalment."),
        Field(
            "amount", MONEY, "Amount due, paid, taken back or charged; a negative payment is a reversal.", "currency"
        ),
        _CURRENCY,
        Field(
            "schedule_version",
            COUNT,
            "Version of the schedule that a due instalment stands in, where there are several; the highest counts.",
            minimum=0,
            maximum=9_999,
        ),
    ),
    {"loan_id": "loans.loan_id", "borrower_id": "borrowers.borrower_id"},
)

BUREAU = Table(
    "bureau",
    "A month of the credit bureau's consolidated report (in Peru the RCC) on a person; no row is a 'no hit'.",
    ("borrower_id", "event_time"),
    (
        _BORROWER,
        _EVENT,
        _KNOWN,
        Field("lenders", COUNT, "Lenders with a debt of this person.", minimum=0, maximum=200),
        Field("debt", MONEY, "Direct debt at all lenders.", unit="currency", minimum=0),
        Field("unused_lines", MONEY, "Unused lines of credit.", unit="currency", minimum=0),
        Field("contingent", MONEY, "Guarantees given for others.", unit="currency", minimum=0),
        Field("monthly_instalments", MONEY, "Instalments of a month at all lenders.", unit="currency", minimum=0),
        Field(
            "worst_class",
            COUNT,
            "Worst SBS class: 0 Normal, 1 CPP, 2 Deficiente, 3 Dudoso, 4 Pérdida.",
            minimum=0,
            maximum=4,
        ),
        Field("days_past_due", COUNT, "Greatest days past due at any lender.", unit="days", minimum=0, maximum=9_999),
        Field("inquiries", COUNT, "Inquiries by lenders in the month.", minimum=0, maximum=1_000),
        _CURRENCY,
    ),
    {"borrower_id": "borrowers.borrower_id"},
)

TRANSACTIONS = Table(
    "transactions",
    "A movement of money in an account, wallet, shop or stall of the borrower.",
    ("transaction_id",),
    (
        Field("transaction_id", IDENTIFIER, "Token of the movement.", required=True),
        _BORROWER,
        _EVENT,
        _KNOWN,
        Field("direction", CATEGORY, "Money in or money out.", required=True, allowed=("in", "out")),
        Field(
            "kind",
            CATEGORY,
            "What it was.",
            required=True,
            allowed=(
                "wallet",
                "top_up",
                "utility",
                "rent",
                "remittance",
                "takings",
                "salary",
                "deposit",
                "withdrawal",
                "purchase",
                "other",
            ),
        ),
        Field("amount", MONEY, "Amount, without sign.", unit="currency", required=True, minimum=0),
        _CURRENCY,
        Field("balance_after", MONEY, "Balance after the movement; may be overdrawn.", unit="currency"),
        Field("due_on", DAY, "Due date of a bill that the movement pays."),
    ),
    {"borrower_id": "borrowers.borrower_id"},
)

APPLICATIONS = Table(
    "applications",
    "A request for credit and what was decided: the unit that is scored.",
    ("application_id",),
    (
        Field("application_id", IDENTIFIER, "Token of the application.", required=True),
        _BORROWER,
        _EVENT,
        _KNOWN,
        Field("decided_at", TIME, "Decision time: what features may know ends here.", required=True),
        Field("decision", CATEGORY, "What the lender decided.", allowed=("approved", "declined", "withdrawn")),
        Field("loan_id", IDENTIFIER, "Loan that was disbursed for it."),
        Field("amount", MONEY, "Amount asked for.", unit="currency", minimum=0.01),
        Field("total_due", MONEY, "Amount to be repaid, with interest and fees.", unit="currency", minimum=0),
        _CURRENCY,
        _TERM,
        _PRODUCT,
        _PURPOSE,
        Field("channel", CATEGORY, "How it came in.", allowed=("branch", "field", "app", "referral", "other")),
        Field("declared_income", MONEY, "Monthly income as declared.", unit="currency a month", minimum=0),
        Field("declared_expenses", MONEY, "Monthly expenses as declared.", unit="currency a month", minimum=0),
        Field("incumbent_score", pa.float64(), "Score of the policy in force, where the lender has one."),
        Field(
            "outcome",
            CATEGORY,
            "What became of it, where the lender gives it ready made.",
            allowed=("good", "bad", "indeterminate"),
        ),
        Field("outcome_known_at", TIME, "When the outcome was known."),
    ),
    {"borrower_id": "borrowers.borrower_id"},
)

# What a credit is decided about: a lender that has history, and these columns, scores no application without them.
DECIDED_ABOUT = ("amount", "term_days")
HISTORY = ("loans", "repayments", "bureau", "transactions")

TABLES: dict[str, Table] = {
    table.name: table for table in (BORROWERS, LOANS, REPAYMENTS, BUREAU, TRANSACTIONS, APPLICATIONS)
}
