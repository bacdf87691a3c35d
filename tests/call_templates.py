"""Small chat templates that show tools, calls and results as those of the families do, each written here."""

# ruff: noqa: E501 - in templates a line break would be text
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A way of writing calls, and what a model of it has."""

    template: str
    controls: tuple[str, ...] = ()
    """Control tokens of its vocabulary, beside those that every tiny model has."""
    user_defined: tuple[str, ...] = ()
    syntax: str
    """The `name` of what is to be found for it."""


_SYSTEM = "{% if messages[0].role == 'system' %}{% set system = messages[0].content %}{% set rest = messages[1:] %}{% else %}{% set system = '' %}{% set rest = messages %}{% endif %}"
_HERMES_RESULTS = """{% elif m.role == 'tool' %}{% if loop.index0 == 0 or rest[loop.index0 - 1].role != 'tool' %}{{ '<|im_start|>user' }}{% endif %}{{ '\\n<tool_response>\\n' + m.content + '\\n</tool_response>' }}{% if loop.last or rest[loop.index0 + 1].role != 'tool' %}{{ '<|im_end|>\\n' }}{% endif %}"""
_CHATML_END = "{% else %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
_TOOLS = "{% if tools or system %}{{ '<|im_start|>system\\n' + system }}{% if tools %}{{ '\\n# Tools\\n<tools>' }}{% for t in tools %}{{ '\\n' + t | tojson }}{% endfor %}{{ '\\n</tools>' }}{% endif %}{{ '<|im_end|>\\n' }}{% endif %}"

HERMES = (
    _SYSTEM
    + _TOOLS
    + "{% for m in rest %}{% if m.role == 'assistant' and m.tool_calls %}{{ '<|im_start|>assistant' }}{% if m.content %}{{ '\\n' + m.content }}{% endif %}"
    "{% for c in m.tool_calls %}{{ '\\n<tool_call>\\n{\"name\": \"' + c.function.name + '\", \"arguments\": ' + c.function.arguments | tojson + '}\\n</tool_call>' }}{% endfor %}{{ '<|im_end|>\\n' }}"
    + _HERMES_RESULTS
    + _CHATML_END
)
CODER = (
    _SYSTEM
    + _TOOLS
    + "{% for m in rest %}{% if m.role == 'assistant' and m.tool_calls %}{{ '<|im_start|>assistant' }}{% if m.content %}{{ '\\n' + m.content + '\\n' }}{% endif %}"
    "{% for c in m.tool_calls %}{{ '\\n<tool_call>\\n<function=' + c.function.name + '>\\n' }}{% for k, v in c.function.arguments | items %}{{ '<parameter=' + k + '>\\n' }}"
    "{{ v if v is string else v | tojson }}{{ '\\n</parameter>\\n' }}{% endfor %}{{ '</function>\\n</tool_call>' }}{% endfor %}{{ '<|im_end|>\\n' }}"
    + _HERMES_RESULTS
    + _CHATML_END
)
LLAMA = (
    _SYSTEM
    + "{{ '<|im_start|>system\\n' + system + '<|im_end|>' }}{% for m in rest %}{% if m.role == 'assistant' and 'tool_calls' in m %}"
    "{% if m.tool_calls | length != 1 %}{{ raise_exception('only single tool-calls at once') }}{% endif %}"
    "{{ '<|im_start|>assistant\\n{\"name\": \"' + m.tool_calls[0].function.name + '\", \"parameters\": ' + m.tool_calls[0].function.arguments | tojson + '}<|im_end|>' }}"
    "{% elif m.role == 'tool' %}{{ '<|im_start|>ipython\\n' + m.content | tojson + '<|im_end|>' }}"
    "{% else %}{{ '<|im_start|>' + m.role + '\\n' }}{% if tools and loop.first %}{% for t in tools %}{{ t | tojson(indent=4) + '\\n\\n' }}{% endfor %}{% endif %}{{ m.content + '<|im_end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_MISTRAL = (
    _SYSTEM
    + "{% for m in rest %}{% if m.role == 'user' %}{% if tools and loop.first %}{{ '[AVAILABLE_TOOLS]' + tools | tojson + '[/AVAILABLE_TOOLS]' }}{% endif %}{{ '[INST]' }}{% if loop.first and system %}{{ system + '\\n\\n' }}{% endif %}{{ m.content + '[/INST]' }}"
    "{% elif m.tool_calls is defined %}{% for c in m.tool_calls %}{% if c.id | length != 9 %}{{ raise_exception('ids have 9 characters') }}{% endif %}{% endfor %}CALLS{{ '<|im_end|>' }}"
    "{% elif m.role == 'tool' %}{% if m.tool_call_id | length != 9 %}{{ raise_exception('ids have 9 characters') }}{% endif %}{{ '[TOOL_RESULTS]{\"content\": ' + m.content + ', \"call_id\": \"' + m.tool_call_id + '\"}[/TOOL_RESULTS]' }}"
    "{% else %}{{ m.content + '<|im_end|>' }}{% endif %}{% endfor %}"
)
MISTRAL = _MISTRAL.replace(
    "CALLS",
    "{{ '[TOOL_CALLS][' }}{% for c in m.tool_calls %}{{ (c.function | tojson)[:-1] + ', \"id\": \"' + c.id + '\"}' }}{% if not loop.last %}{{ ', ' }}{% endif %}{% endfor %}{{ ']' }}",
)
MISTRAL_FLAT = _MISTRAL.replace(
    "CALLS",
    "{{ m.content }}{% for c in m.tool_calls %}{{ '[TOOL_CALLS]' + c.function.name + '[CALL_ID]' + c.id + '[ARGS]' + c.function.arguments | tojson }}{% endfor %}",
)
_MISTRAL_CONTROLS = (
    "[TOOL_CALLS]",
    "[ARGS]",
    "[CALL_ID]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
    "[INST]",
    "[/INST]",
)
_LFM2_TOOLS = "{% if tools or system %}{{ '<|im_start|>system\\n' + system }}{% if tools %}{{ 'List of tools: <|tool_list_start|>' + tools | tojson + '<|tool_list_end|>' }}{% endif %}{{ '<|im_end|>\\n' }}{% endif %}"
LFM2 = (
    _SYSTEM
    + _LFM2_TOOLS
    + "{% for m in rest %}{{ '<|im_start|>' + m.role + '\\n' }}{% if m.role == 'tool' %}{{ '<|tool_response_start|>' + m.content + '<|tool_response_end|>' }}{% else %}{{ m.content }}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
LFM2_CALLS = LFM2.replace(
    "{{ '<|im_end|>\\n' }}{% endfor %}",
    "{% if m.tool_calls %}{{ '<|tool_call_start|>[' }}{% for c in m.tool_calls %}{{ c.function.name + '(' }}{% for k, v in c.function.arguments | items %}{{ k + '=' }}{{ \"'\" + v + \"'\" if v is string else v | string }}"
    "{% if not loop.last %}{{ ', ' }}{% endif %}{% endfor %}{{ ')' }}{% if not loop.last %}{{ ', ' }}{% endif %}{% endfor %}{{ ']<|tool_call_end|>' }}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}",
)
_LFM2_CONTROLS = (
    "<|tool_call_start|>",
    "<|tool_call_end|>",
    "<|tool_response_start|>",
    "<|tool_response_end|>",
    "<|tool_list_start|>",
    "<|tool_list_end|>",
)
_GEMMA = """{%- macro value(v) -%}
{%- if v is string -%}{{ 'QUOTE' + v + 'QUOTE' }}{%- elif v is boolean -%}{{ 'true' if v else 'false' }}
{%- elif v is mapping -%}{{ '{' }}{%- for k, one in v | dictsort -%}{{ k + ':' + value(one) }}{%- if not loop.last -%}{{ ',' }}{%- endif -%}{%- endfor -%}{{ '}' }}
{%- elif v is sequence -%}{{ '[' }}{%- for one in v -%}{{ value(one) }}{%- if not loop.last -%}{{ ',' }}{%- endif -%}{%- endfor -%}{{ ']' }}
{%- else -%}{{ v }}{%- endif -%}{%- endmacro -%}
{%- if messages[0].role == 'system' -%}{%- set system = messages[0].content -%}{%- set rest = messages[1:] -%}{%- else -%}{%- set system = '' -%}{%- set rest = messages -%}{%- endif -%}
{%- if tools or system -%}{{ '<|im_start|>system\\n' + system }}{%- for t in tools or [] -%}{{ 'TOOLdeclaration:' + value(t.function) + 'ENDTOOL' }}{%- endfor -%}{{ '<|im_end|>\\n' }}{%- endif -%}
{%- for m in rest -%}
{%- if m.role == 'tool' -%}{{ 'RESPONSEresponse:' + m.name + '{value:' + value(m.content) + '}ENDRESPONSE' }}
{%- else -%}{{ '<|im_start|>' + m.role + '\\n' }}{%- for c in m.tool_calls or [] -%}{{ 'CALLcall:' + c.function.name + value(c.function.arguments) + 'ENDCALL' }}{%- endfor -%}{{ m.content }}{%- if not m.tool_calls -%}{{ '<|im_end|>\\n' }}{%- endif -%}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt and messages[-1].role != 'tool' -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"""


def _gemma(call: tuple[str, str], response: tuple[str, str], tool: tuple[str, str], quote: str) -> Family:
    template = _GEMMA.replace("QUOTE", quote)
    for name, (opens, closes) in (("TOOL", tool), ("RESPONSE", response), ("CALL", call)):
        template = template.replace(f"END{name}", closes).replace(name, opens)
    return Family(template=template, controls=(*call, *response, *tool, quote), syntax="gemma")


FAMILIES = {
    "hermes": Family(template=HERMES, syntax="json"),
    "hermes, tokens": Family(
        template=HERMES,
        user_defined=("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"),
        syntax="json",
    ),
    "llama": Family(template=LLAMA, syntax="json"),
    "mistral": Family(template=MISTRAL, controls=_MISTRAL_CONTROLS, syntax="json"),
    "mistral, flat": Family(template=MISTRAL_FLAT, controls=_MISTRAL_CONTROLS, syntax="flat"),
    "lfm2": Family(template=LFM2, controls=_LFM2_CONTROLS, syntax="python"),
    "lfm2, calls": Family(template=LFM2_CALLS, controls=_LFM2_CONTROLS, syntax="python"),
    "coder": Family(template=CODER, syntax="xml"),
    "coder, tokens": Family(template=CODER, user_defined=("<tool_call>", "</tool_call>"), syntax="xml"),
    "gemma": _gemma(
        ("<|tool_call>", "<tool_call|>"),
        ("<|tool_response>", "<tool_response|>"),
        ("<|tool>", "<tool|>"),
        '<|"|>',
    ),
    "functiongemma": _gemma(
        ("<start_function_call>", "<end_function_call>"),
        ("<start_function_response>", "<end_function_response>"),
        ("<start_function_declaration>", "<end_function_declaration>"),
        "<escape>",
    ),
}
