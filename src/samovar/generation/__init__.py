"""Requests to a model and its replies: plain values that both halves know.

Above: the waist (`executors/base.py`) and the engines' contract (`engines/base.py`), which carry these
values. Below: nothing. It does not know how anything is generated.
"""

from __future__ import annotations

from samovar.generation.answers import Embeddings as Embeddings
from samovar.generation.answers import ExecutorFailed as ExecutorFailed
from samovar.generation.answers import FinishReason as FinishReason
from samovar.generation.answers import Happening as Happening
from samovar.generation.answers import ModelFetching as ModelFetching
from samovar.generation.answers import ModelLoading as ModelLoading
from samovar.generation.answers import PromptEvaluating as PromptEvaluating
from samovar.generation.answers import PromptEvent as PromptEvent
from samovar.generation.answers import TextGenerated as TextGenerated
from samovar.generation.answers import TokenCounts as TokenCounts
from samovar.generation.answers import ToolCalled as ToolCalled
from samovar.generation.answers import ToolFinished as ToolFinished
from samovar.generation.answers import ToolStatus as ToolStatus
from samovar.generation.begun import KEEP_EVERY_S as KEEP_EVERY_S
from samovar.generation.begun import Begun as Begun
from samovar.generation.begun import GoingOn as GoingOn
from samovar.generation.begun import Keep as Keep
from samovar.generation.begun import KeptState as KeptState
from samovar.generation.messages import Message as Message
from samovar.generation.messages import MessagePart as MessagePart
from samovar.generation.messages import PartKind as PartKind
from samovar.generation.messages import Role as Role
from samovar.generation.messages import ToolCall as ToolCall
from samovar.generation.messages import ToolDefinition as ToolDefinition
from samovar.generation.messages import joined as joined
from samovar.generation.options import FORMS as FORMS
from samovar.generation.options import GIVEN_TO_TEMPLATES as GIVEN_TO_TEMPLATES
from samovar.generation.options import MOST_SEED as MOST_SEED
from samovar.generation.options import NO_TEMPLATE as NO_TEMPLATE
from samovar.generation.options import SEEDS as SEEDS
from samovar.generation.options import TIMEOUT_CEILING as TIMEOUT_CEILING
from samovar.generation.options import Form as Form
from samovar.generation.options import FormKind as FormKind
from samovar.generation.options import KvType as KvType
from samovar.generation.options import Options as Options
from samovar.generation.options import Overflow as Overflow
from samovar.generation.options import Sampling as Sampling
from samovar.generation.options import SplitMode as SplitMode
from samovar.generation.options import Template as Template
from samovar.generation.options import is_seed as is_seed
