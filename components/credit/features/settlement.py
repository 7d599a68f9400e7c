"""The day on which each instalment of a loan was settled, as SQL steps over the events of loans.

The rules
    settled       on the first day at whose end the payments reach 99 % of what was due; 1 % is what lenders forgive as
                  rounding. What comes later changes nothing: neither a second receipt, nor a fee, nor a higher amount.
    nothing due   (0.00, a month of grace) settles on its due day, or on the day that lowered the amount to nothing,
                  where no later version has an amount.
    partial       payments add up. A payment without an amount pays what was due; so does any where no amount was due.
    early         a payment counts on its own day, also before the due day.
    too much      stays with the instalment that the payment names, since the lender has allocated it.
    reversal      a negative payment, or an event ``reversal`` with an amount. A day that takes back more than it
                  brings, and leaves too little, opens the instalment again from its due day on. Taken back and booked
                  again on one day is a correction, and changes nothing.
    fee           an event ``fee`` raises what is due from its day on. One that names no instalment belongs to none.
    no number     payments name their instalment by number or else, where a number is missing, by due date. Where one
                  names neither, all payments of the loan go to the oldest instalment first, as core systems do.
    versions      of several ``due`` rows of an instalment the one of the highest ``schedule_version`` counts, and of
                  these the last known: the amount of each day is the one known on that day, the first one before. An
                  instalment that was moved counts from its new due day; how late it was on the day on which the move
                  became known stays. A row that was not known before its own due day does not say when it was moved:
                  it counts as moved in time.
    dropped       an instalment that a newer ``schedule_version`` does not name ends on the day on which that version
                  was known: what falls due later does not exist, what is open is taken over by the new instalments.
    closing       a closed loan leaves nothing open.

What cannot be told (``UNCLEAR``): two rows of one instalment with one version and time, more taken back than was ever
paid, and payments of a loan as a whole where an amount is missing or the schedule has several versions.

``event`` has a row for each event: row, nth (application and loan), until (the day up to which one looks), kind,
instalment, due_on, day, known_day, version, known_second, amount.
"""
# ruff: noqa: S608 - the SQL is made of constants, never of a value


def event(loans: str, until: str) -> str:
    """SQL of the step ``event``.

    Args:
        loans: SQL that joins ``repayments r`` with the loans ``l`` (row, nth), as far as each row is known.
        until: SQL of the day up to which one looks.
    """
    return f"""
    SELECT l.row, l.nth, {until} AS until, r.kind, r.instalment,
        coalesce(r.due_on, CASE WHEN r.kind = 'due' THEN local_day(r.event_time) END) AS due_on,
        local_day(r.event_time) AS day, local_day(r.known_at) AS known_day, coalesce(r.schedule_version, 0) AS version,
        epoch_us(r.known_at) // 1000000 AS known_second, r.amount
    FROM repayments r
    {loans}
"""


_SAME = "{0}.row = {1}.row AND {0}.nth = {1}.nth"
_ITEM = _SAME + " AND {0}.item = {1}.item"
_POOL = _SAME + " AND {0}.pool = {1}.pool"
_FIRST, _NEVER = "DATE '1000-01-01'", "DATE '3000-01-01'"
TAKEN_BACK = "more was taken back than paid"
TWO_ROWS = "two rows of one instalment"
POOLED = "payments that name no instalment, without amounts or under several schedules"
_MONEY = "kind IN ('due', 'payment', 'reversal')"

# How a loan's events name their instalment.
NAMING = f"""
    SELECT row, nth, count_if({_MONEY} AND instalment IS NULL) AS unnumbered,
        count_if(kind = 'due' AND instalment IS NULL) AS dues_unnumbered,
        count_if({_MONEY} AND due_on IS NULL) AS undated, max(CASE WHEN kind = 'due' THEN version END) AS newest
    FROM event
    GROUP BY row, nth
"""

# `pool` is what payments are paid into: an instalment or, as 0, the whole loan. `item` is the instalment.
KEYED = """
    SELECT e.row, e.nth, e.until, e.kind, e.due_on, e.day, e.known_day, e.version, e.amount, n.newest,
        e.version * 10000000000 + e.known_second AS nth_version,
        CASE WHEN n.unnumbered = 0 THEN e.instalment
            WHEN n.undated = 0 THEN e.due_on - DATE '1900-01-01' ELSE 0 END AS pool,
        CASE WHEN n.dues_unnumbered = 0 AND (n.unnumbered = 0 OR n.undated > 0) THEN e.instalment
            ELSE e.due_on - DATE '1900-01-01' END AS item
    FROM event e
    JOIN naming n ON n.row = e.row AND n.nth = e.nth
    WHERE e.kind IN ('due', 'payment', 'reversal', 'fee')
"""

# One row an instalment. `plain` ones, nearly all, have one row that was due and one payment at most: their day follows
# at once; the steps below look at the others alone.
ITEM = """
    SELECT row, nth, pool, item, min(until) AS look_until, max(newest) AS newest_version,
        count_if(kind = 'due') AS dues, max(CASE WHEN kind = 'due' THEN version END) AS own_version,
        count_if(kind = 'payment') AS payments,
        count(CASE WHEN kind IN ('reversal', 'fee') OR amount < 0 THEN 1 END) AS others,
        min(CASE WHEN kind = 'due' THEN due_on END) AS own_due_on,
        min(CASE WHEN kind <> 'due' THEN due_on END) AS paid_due_on,
        max(CASE WHEN kind = 'due' THEN amount END) AS need, max(CASE WHEN kind = 'payment' THEN amount END) AS paid,
        max(CASE WHEN kind = 'payment' THEN day END) AS last_paid_on
    FROM keyed
    WHERE item IS NOT NULL
    GROUP BY row, nth, pool, item
"""

PLAIN = """
    SELECT i.*, coalesce(i.own_due_on, i.paid_due_on) AS plain_due_on,
        CASE WHEN i.need = 0 THEN i.own_due_on
            WHEN i.need IS NULL OR i.paid IS NULL OR i.paid * 100 >= i.need * 99 THEN i.last_paid_on
            END AS plain_paid_on
    FROM item i
    WHERE i.pool <> 0 AND i.dues <= 1 AND i.payments <= 1 AND i.others = 0
"""

KNOT = """
    SELECT k.*
    FROM keyed k
    LEFT JOIN plain p ON p.row = k.row AND p.nth = k.nth AND p.item = k.item
    WHERE k.pool IS NOT NULL AND p.dues IS NULL
"""

# The versions of an instalment; `copies` of one version cannot be told from each other.
DUE = """
    SELECT row, nth, pool, item, nth_version, min(due_on) AS due_day, min(known_day) AS known_on, max(amount) AS need,
        count(*) AS copies
    FROM knot
    WHERE kind = 'due' AND item IS NOT NULL
    GROUP BY row, nth, pool, item, nth_version
"""

# What other versions do to a version: when its amount ends, and when it is known that it was moved.
REVISED = f"""
    SELECT d.row, d.nth, d.item, d.nth_version, count_if(o.nth_version < d.nth_version) AS earlier,
        min(CASE WHEN o.nth_version > d.nth_version THEN o.known_on END) AS replaced_on,
        count_if(o.nth_version > d.nth_version AND o.known_on >= o.due_day) AS undated
    FROM due d
    JOIN due o ON {_ITEM.format("o", "d")} AND o.nth_version <> d.nth_version
    GROUP BY d.row, d.nth, d.item, d.nth_version
"""

# What falls due ahead of an instalment of a loan whose payments go to the oldest first.
AHEAD = f"""
    SELECT d.row, d.nth, d.item, sum(o.need) AS need_ahead
    FROM due d
    JOIN due o ON {_POOL.format("o", "d")}
        AND (o.due_day < d.due_day OR (o.due_day = d.due_day AND o.item < d.item))
    WHERE d.pool = 0
    GROUP BY d.row, d.nth, d.item
"""

# The day from which only the newest schedule counts.
RENEWAL = """
    SELECT row, nth, least(min(known_day), min(due_on)) AS renewed_on
    FROM keyed
    WHERE kind = 'due' AND version = newest AND newest > 0
    GROUP BY row, nth
"""

# Instalments that are not plain, a row for each version with the days on which its amount holds.
VERSION = f"""
    SELECT i.row, i.nth, i.pool, i.item, i.paid_due_on, d.nth_version, d.due_day, d.need, d.copies,
        CASE WHEN r.earlier > 0 THEN d.known_on ELSE {_FIRST} END AS holds_from,
        coalesce(r.replaced_on, {_NEVER}) AS holds_to,
        CASE WHEN r.undated > 0 THEN NULL ELSE r.replaced_on END AS moved_on,
        coalesce(r.undated, 0) AS overruled, (d.need * 99 + coalesce(b.need_ahead, 0) * 100) AS wanted,
        CASE WHEN d.need = 0 AND r.replaced_on IS NULL THEN greatest(d.due_day, holds_from) END AS waived_on,
        CASE WHEN i.own_version < i.newest_version THEN n.renewed_on END AS taken_over_on
    FROM item i
    LEFT JOIN plain p ON {_ITEM.format("p", "i")}
    LEFT JOIN due d ON {_ITEM.format("d", "i")}
    LEFT JOIN revised r ON r.row = d.row AND r.nth = d.nth AND r.item = d.item AND r.nth_version = d.nth_version
    LEFT JOIN ahead b ON {_ITEM.format("b", "i")}
    LEFT JOIN renewal n ON {_SAME.format("n", "i")}
    WHERE p.dues IS NULL AND (i.dues > 0 OR i.pool <> 0)
"""

# What came in and went out in a day. Payments without an amount are counted apart.
DAILY = """
    SELECT row, nth, pool, day,
        coalesce(sum(CASE WHEN kind = 'payment' THEN amount END), 0)
            - coalesce(sum(CASE WHEN kind = 'reversal' THEN amount END), 0) AS came,
        coalesce(sum(CASE WHEN kind = 'fee' THEN amount END), 0) AS fees,
        count_if(kind = 'payment' AND amount IS NULL) - count_if(kind = 'reversal' AND amount IS NULL) AS wholes
    FROM knot
    WHERE kind <> 'due'
    GROUP BY row, nth, pool, day
"""

# All that had come in by the end of a day, until the next day with an event.
FLOW = f"""
    SELECT d.row, d.nth, d.pool, d.day, min(CASE WHEN o.day > d.day THEN o.day END) AS next_day,
        sum(CASE WHEN o.day <= d.day THEN o.came END) AS total,
        sum(CASE WHEN o.day <= d.day THEN o.fees END) AS charged,
        sum(CASE WHEN o.day <= d.day THEN o.wholes END) AS whole,
        max(CASE WHEN o.day = d.day THEN o.came END) AS came_now,
        max(CASE WHEN o.day = d.day THEN o.wholes END) AS whole_now
    FROM daily d
    JOIN daily o ON {_POOL.format("o", "d")}
    GROUP BY d.row, d.nth, d.pool, d.day
"""

COVER = f"""
    SELECT v.row, v.nth, v.item, greatest(f.day, v.holds_from) AS cover_day,
        CASE WHEN v.need = 0 THEN 0 WHEN f.whole > 0 THEN 1
            WHEN v.wanted IS NULL THEN CASE WHEN f.total > 0 THEN 1 ELSE 0 END
            WHEN (f.total - f.charged) * 100 >= v.wanted THEN 1 ELSE 0 END AS covered,
        CASE WHEN (f.came_now < 0 OR f.whole_now < 0) AND f.day >= v.holds_from
            AND (v.need IS NULL OR v.need <> 0) THEN 1 ELSE 0 END AS taken
    FROM version v
    JOIN flow f ON {_POOL.format("f", "v")} AND f.day < v.holds_to
        AND coalesce(f.next_day, {_NEVER}) > v.holds_from
"""

REOPENED = """
    SELECT row, nth, item, max(cover_day) AS reopened_on
    FROM cover
    WHERE taken = 1 AND covered = 0
    GROUP BY row, nth, item
"""

COVERED = f"""
    SELECT c.row, c.nth, c.item, min(c.cover_day) AS covered_on
    FROM cover c
    LEFT JOIN reopened o ON {_ITEM.format("o", "c")}
    WHERE c.covered = 1 AND (o.reopened_on IS NULL OR c.cover_day > o.reopened_on)
    GROUP BY c.row, c.nth, c.item
"""

UNTIED = f"""
    SELECT v.row, v.nth, v.item,
        coalesce(least(min(c.covered_on), min(v.waived_on)), min(v.taken_over_on)) AS untied_on
    FROM version v
    LEFT JOIN covered c ON {_ITEM.format("c", "v")}
    GROUP BY v.row, v.nth, v.item
"""

# The due day that counts: that of the version that was known on the day of settlement.
DATED = f"""
    SELECT v.row, v.nth, v.item, min(u.untied_on) AS paid_day, min(v.paid_due_on) AS other_due_on,
        arg_min(CASE WHEN v.overruled = 0 AND (v.moved_on IS NULL OR v.moved_on > u.untied_on) THEN v.due_day END,
            v.nth_version) AS own_due_day,
        max(CASE WHEN v.moved_on > v.due_day AND (u.untied_on IS NULL OR v.moved_on <= u.untied_on)
            THEN v.moved_on - v.due_day END) AS moved_late,
        arg_max(v.due_day, CASE WHEN v.moved_on > v.due_day AND (u.untied_on IS NULL OR v.moved_on <= u.untied_on)
            THEN v.moved_on - v.due_day END) AS moved_day
    FROM version v
    JOIN untied u ON {_ITEM.format("u", "v")}
    GROUP BY v.row, v.nth, v.item
"""

# One row an instalment; `late_before` is how late it was when it was moved, null where it was not late then.
INSTALMENT = f"""
    SELECT i.row, i.nth, i.look_until AS until,
        coalesce(p.plain_due_on, d.own_due_day, d.other_due_on) AS due_on,
        coalesce(p.plain_paid_on, d.paid_day, CASE WHEN i.own_version < i.newest_version THEN r.renewed_on END)
            AS paid_on,
        d.moved_late AS late_before, d.moved_day AS moved_from
    FROM item i
    LEFT JOIN plain p ON {_ITEM.format("p", "i")}
    LEFT JOIN dated d ON {_ITEM.format("d", "i")}
    LEFT JOIN renewal r ON {_SAME.format("r", "i")}
    WHERE (i.dues > 0 OR i.pool <> 0)
        AND (i.own_version IS NULL OR i.own_version = i.newest_version OR i.own_due_on < r.renewed_on)
"""

# Loans of which it cannot be told what was paid when, with the reason; the first that fits.
UNCLEAR = f"""
    SELECT f.row, f.nth, '{TAKEN_BACK}' AS why FROM flow f WHERE f.total < 0 OR f.whole < 0
    UNION ALL
    SELECT v.row, v.nth, '{TWO_ROWS}' FROM version v WHERE v.copies > 1
    UNION ALL
    SELECT k.row, k.nth, '{POOLED}'
    FROM knot k
    WHERE k.pool = 0 AND k.kind <> 'fee' AND k.amount IS NULL
    UNION ALL
    SELECT v.row, v.nth, '{POOLED}'
    FROM version v
    WHERE v.pool = 0 AND v.holds_to < {_NEVER}
"""

ENDING = """
    SELECT row, nth, max(CASE WHEN kind = 'closing' THEN day END) AS closed_on,
        min(CASE WHEN kind = 'refinancing' THEN day END) AS refinanced_on,
        min(CASE WHEN kind IN ('write_off', 'judicial') THEN day END) AS charged_off_on
    FROM event
    WHERE kind IN ('closing', 'refinancing', 'write_off', 'judicial')
    GROUP BY row, nth
"""

# Instalments that fall due after the day up to which one looks count only where they are paid already, or were late
# before they were moved.
SETTLED = """
    SELECT i.row, i.nth, i.until, i.due_on, i.late_before, i.moved_from, coalesce(i.paid_on, e.closed_on) AS settled_on,
        CASE WHEN settled_on IS NULL AND i.due_on < i.until THEN i.until - i.due_on END AS open_days,
        greatest(coalesce(settled_on - i.due_on, open_days), i.late_before) AS days,
        CASE WHEN days IS NOT NULL THEN greatest(days, 0) END AS days_late
    FROM instalment i
    LEFT JOIN ending e ON e.row = i.row AND e.nth = i.nth
"""

SETTLEMENT = {
    "naming": NAMING,
    "keyed": KEYED,
    "item": ITEM,
    "plain": PLAIN,
    "knot": KNOT,
    "due": DUE,
    "revised": REVISED,
    "ahead": AHEAD,
    "renewal": RENEWAL,
    "version": VERSION,
    "daily": DAILY,
    "flow": FLOW,
    "cover": COVER,
    "reopened": REOPENED,
    "covered": COVERED,
    "untied": UNTIED,
    "dated": DATED,
    "instalment": INSTALMENT,
    "ending": ENDING,
    "settled": SETTLED,
}
