"""Everything that can go wrong, as one tree.

    SamovarError
    ├── UsageError              an argument or a variable is not what the command takes
    │   └── UntrustedError      a project would do something, but is not trusted
    ├── FaultsError             a file has faults; nothing was run
    ├── NotFoundError           nothing has this name (workflow, prompt, variable …)
    ├── ActionError             an action of a run failed; a failure edge may take it
    │   ├── TemplateError       a template could not be filled
    │   ├── ExpressionError     an expression could not be evaluated
    │   ├── ShellError          a command could not be started, or failed
    │   ├── FileError           a file could not be read, written or found
    │   ├── TimedOutError       it took longer than allowed
    │   ├── CutOffError         an answer ended before it matched its form
    │   ├── UnverifiedError     an answer did not pass the command that verifies it
    │   ├── ToolError           a tool failed, and no model can continue
    │   ├── ChildError          a workflow, or an item of a list, did not complete
    │   ├── TooLargeError       a value would be larger than allowed
    │   ├── ReturnsError        a workflow returns a value of another type
    │   ├── JoinError           a join needs more branches than were started
    │   ├── InterruptedActionError  a process ended while it was performed
    │   ├── RefusedError        a person said no
    │   └── UnansweredError     no user was present to ask
    ├── LimitError              a run exceeded one of its limits
    ├── ModelError              a model cannot be found, loaded or used
    │   ├── ModelNotFoundError  no such file, package or reference
    │   ├── ModelFileError      the file is not a model that can be loaded
    │   ├── ModelFetchError     it could not be fetched (network, room on disk)
    │   ├── BudgetError         it does not fit the memory budget
    │   ├── ContextError        a prompt is longer than the context
    │   ├── EngineError         the engine refused or failed
    │   │   ├── UnmetError      what was asked for cannot be had from this model
    │   │   ├── PlatformError   this machine cannot run the engine
    │   │   └── EngineLostError the process that has the models ended
    │   └── ExecutorError       an executor that is not a local model failed
    │       ├── UnreachableError  nobody answers there, or the connection was cut
    │       ├── RateLimitError  too many requests in too short a time
    │       ├── OverloadedError it has too much to do, or failed inside
    │       ├── AuthError       the key is missing or wrong
    │       ├── DeclinedError   it declined to answer
    │       ├── ProtocolError   what came back is not what the protocol says
    │       └── SilentError     it said nothing for too long
    ├── JournalError            the journal cannot be read or written
    │   ├── LeaseError          another process drives the run
    │   ├── LeaseLostError      another process has taken the run over
    │   ├── CalledOffError      somebody has cancelled the run from another process
    │   └── RowTakenError       another run has done the row, or will
    └── ClosedError             used after it was closed

Every class has a stable `code`, says whether trying again can help (`retryable`) and which status the
command line exits with. Cancellation is not an error and has no class here. Below: `tree.py` and
`models.py`, which have the classes; `faults.py`, for what is wrong in a file; `nearest.py`, for what
messages offer; nothing else of the project.
"""

from __future__ import annotations

from samovar.errors.faults import Fault as Fault
from samovar.errors.faults import Fix as Fix
from samovar.errors.faults import Place as Place
from samovar.errors.faults import Severity as Severity
from samovar.errors.models import AuthError as AuthError
from samovar.errors.models import BudgetError as BudgetError
from samovar.errors.models import ContextError as ContextError
from samovar.errors.models import DeclinedError as DeclinedError
from samovar.errors.models import EngineError as EngineError
from samovar.errors.models import EngineLostError as EngineLostError
from samovar.errors.models import ExecutorError as ExecutorError
from samovar.errors.models import ModelError as ModelError
from samovar.errors.models import ModelFetchError as ModelFetchError
from samovar.errors.models import ModelFileError as ModelFileError
from samovar.errors.models import ModelNotFoundError as ModelNotFoundError
from samovar.errors.models import OverloadedError as OverloadedError
from samovar.errors.models import PlatformError as PlatformError
from samovar.errors.models import ProtocolError as ProtocolError
from samovar.errors.models import RateLimitError as RateLimitError
from samovar.errors.models import SilentError as SilentError
from samovar.errors.models import UnmetError as UnmetError
from samovar.errors.models import UnreachableError as UnreachableError
from samovar.errors.nearest import nearest as nearest
from samovar.errors.nearest import same_look as same_look
from samovar.errors.tree import ActionError as ActionError
from samovar.errors.tree import CalledOffError as CalledOffError
from samovar.errors.tree import ChildError as ChildError
from samovar.errors.tree import ClosedError as ClosedError
from samovar.errors.tree import CutOffError as CutOffError
from samovar.errors.tree import ExpressionError as ExpressionError
from samovar.errors.tree import FaultsError as FaultsError
from samovar.errors.tree import FileError as FileError
from samovar.errors.tree import InterruptedActionError as InterruptedActionError
from samovar.errors.tree import JoinError as JoinError
from samovar.errors.tree import JournalError as JournalError
from samovar.errors.tree import LeaseError as LeaseError
from samovar.errors.tree import LeaseLostError as LeaseLostError
from samovar.errors.tree import LimitError as LimitError
from samovar.errors.tree import NotFoundError as NotFoundError
from samovar.errors.tree import RefusedError as RefusedError
from samovar.errors.tree import ReturnsError as ReturnsError
from samovar.errors.tree import RowTakenError as RowTakenError
from samovar.errors.tree import SamovarError as SamovarError
from samovar.errors.tree import ShellError as ShellError
from samovar.errors.tree import TemplateError as TemplateError
from samovar.errors.tree import TimedOutError as TimedOutError
from samovar.errors.tree import TooLargeError as TooLargeError
from samovar.errors.tree import ToolError as ToolError
from samovar.errors.tree import UnansweredError as UnansweredError
from samovar.errors.tree import UntrustedError as UntrustedError
from samovar.errors.tree import UnverifiedError as UnverifiedError
from samovar.errors.tree import UsageError as UsageError
