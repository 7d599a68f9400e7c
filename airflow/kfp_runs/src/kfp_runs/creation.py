"""A run, created once, whoever else creates the same one at the same moment.

The server starts the workflow before it writes the run down, and starts a second workflow when the same id is sent
again; the API cannot end that one, for it knows a run by its id alone. So submitters of one run take turns: the turn is
an experiment of the run's name, of which the server's database holds one at most. Who has it looks, creates the run and
looks again; who has it not waits for the run and meets it.
"""

import logging
import time
from dataclasses import dataclass
from itertools import count

from kfp_runs import calls
from kfp_runs.answers import NewRun, Run
from kfp_runs.client import Client
from kfp_runs.errors import Conflict, NotFound, Rejected, ServerError, Unauthorized, Unavailable
from kfp_runs.runs import ENDED, SUCCEEDED
from kfp_runs.uploads import experiment_named

log = logging.getLogger(__name__)

_LOOKS_AFTER_LOST_CREATE = 4
_FIRST_LOOK_PAUSE = 0.5  # seconds, doubled each time
_LOOK_PAUSE = 0.5  # seconds between two looks for what another has begun
_LONGEST_CANCELING = 300.0  # seconds
_LONGEST_TURN = 120.0  # seconds after which a submitter counts as dead


@dataclass(frozen=True)
class Created:
    """A run on the server.

    Attributes:
        run: The run.
        adopted: Whether it was there already, or another submitter was first.
    """

    run: Run
    adopted: bool


def create_once(client: Client, new: NewRun) -> Created:
    """Create a run whose id we chose, once, whatever happens on the way.

    Raises:
        Rejected: The server refuses the request.
        Unavailable: The server could not be reached.
    """
    turn = _turn(client, new.run_id)
    if isinstance(turn, Run):
        return Created(turn, adopted=True)
    try:
        present = client.find_run(new.run_id)
        return Created(present, adopted=True) if present else _create(client, new)
    finally:
        _end_turn(client, turn)


def take_up(client: Client, run: Run) -> None:
    """Come back to a run that exists: one that ended badly goes on under the same id and keeps what succeeded.

    Raises:
        Rejected: The run cannot go on.
        Unavailable: The server could not be reached, or the run is still being cancelled after five minutes.
    """
    state = _state_after_canceling(client, run.run_id) if run.state == "CANCELING" else run.state
    if state not in ENDED or state == SUCCEEDED:
        return
    try:
        client.ask(calls.retry_run(run.run_id))
    except (Rejected, Unavailable):
        if client.run(run.run_id).state in ENDED:  # else another submitter was first
            raise


def _state_after_canceling(client: Client, run_id: str) -> str:
    until = time.monotonic() + _LONGEST_CANCELING
    while time.monotonic() < until:
        state = client.run(run_id).state
        if state != "CANCELING":
            return state
        time.sleep(_LOOK_PAUSE)
    raise Unavailable(f"The run {run_id} is still being cancelled after {_LONGEST_CANCELING:.0f} s.")


def _create(client: Client, new: NewRun) -> Created:
    for attempt in count(1):
        try:
            return Created(client.ask(calls.create_run(new)), adopted=False)
        except Unavailable as problem:
            present = _run_after_lost_create(client, new.run_id)
            if present is None:
                if attempt >= 2:
                    raise
                continue
            if "duplicate" not in str(problem).lower():
                return Created(present, adopted=False)
            log.warning(
                "The run %s was created by a client that takes no turns, and a second workflow of it may be running: "
                "list them with 'kubectl get workflows -A -l pipeline/runid=%s' and delete the newer one.",
                *(new.run_id, new.run_id),
            )
            return Created(present, adopted=True)
    raise AssertionError  # count() does not end


def _run_after_lost_create(client: Client, run_id: str) -> Run | None:
    for look in range(_LOOKS_AFTER_LOST_CREATE):
        present = client.find_run(run_id)
        if present is not None:
            return present
        time.sleep(_FIRST_LOOK_PAUSE * 2**look)
    return None


def _turn(client: Client, run_id: str) -> str | Run:
    """Id of the experiment that is our turn (empty where we may make none), or the run that another has created."""
    name, other, since = f"starting {run_id}", "", time.monotonic()
    while True:
        try:
            return client.ask(calls.create_experiment(name, client.server.namespace)).experiment_id
        except Unauthorized as problem:
            log.warning("Nothing keeps another submitter from starting the run %s too: %s", run_id, problem)
            return ""
        except Conflict:
            present = client.find_run(run_id)
            if present is not None:
                return present
        other = other or experiment_named(client, name)
        if time.monotonic() - since > _LONGEST_TURN:
            if not _end_turn(client, other):  # by its id: who took the dead submitter's turn meanwhile keeps it
                return ""
            other, since = "", time.monotonic()
        time.sleep(_LOOK_PAUSE)


def _end_turn(client: Client, experiment: str) -> bool:
    """End a turn; one that stays behind harms nobody once its run is there to be met."""
    if experiment:
        try:
            client.ask(calls.delete_experiment(experiment))
        except NotFound:
            return True
        except ServerError as problem:
            log.warning("The experiment %s stays behind; delete it: %s", experiment, problem)
            return False
    return True
