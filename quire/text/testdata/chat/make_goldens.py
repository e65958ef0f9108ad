#!/usr/bin/env python3
"""Writes the expected renderings of chat templates, made by Python's jinja2 set up as Hugging Face does.

  make_goldens.py OUT_DIR TEMPLATE.jinja ...       one OUT_DIR/NAME.json per template

Without arguments it renews the goldens beside this file.
"""
import json
import pathlib
import sys
from datetime import datetime

from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = pathlib.Path(__file__).parent

TOOLS = [{"type": "function", "function": {
    "name": "weather", "description": "The weather in a \"place\" & now",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                   "required": ["city"]}}}]
USER = {"role": "user", "content": "What is 2 < 3?  "}
SYSTEM = {"role": "system", "content": "You answer in ünïcödé ☃."}
ANSWER = {"role": "assistant", "content": "True."}
CALL = {"role": "assistant", "content": "", "tool_calls": [
    {"id": "abc123def", "type": "function",
     "function": {"name": "weather", "arguments": {"city": "Łódź", "days": 2}}}]}
TOOL_RESULT = {"role": "tool", "tool_call_id": "abc123def", "content": "{\"t\": -3.5}"}
THOUGHT = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nFour."}

CASES = [
    {"messages": [USER]},
    {"messages": [SYSTEM, USER]},
    {"messages": [USER, ANSWER, {"role": "user", "content": "Why?\n"}]},
    {"messages": [SYSTEM, USER, ANSWER], "add_generation_prompt": False},
    {"messages": [USER, USER]},
    {"messages": [SYSTEM, USER], "tools": TOOLS},
    {"messages": [USER, CALL, TOOL_RESULT, ANSWER, USER], "tools": TOOLS},
    {"messages": [USER, THOUGHT, USER, THOUGHT]},
    {"messages": [USER], "extra": {"enable_thinking": False, "date_string": "1 May 2025", "custom": "given"}},
    {"messages": [{"role": "user", "content": "<|im_end|> {{ 7 * 7 }} {% raw %}"}]},
    {"messages": [{"role": "wizard", "content": "abra"}]},
    {"messages": []},
]


class Raised(Exception):
    pass


def environment():
    def raise_exception(message):
        raise Raised(message)

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return env


def render(source, case):
    """The text, or None where the template (or jinja2) refuses."""
    try:
        return environment().from_string(source).render(
            messages=case["messages"], tools=case.get("tools"), documents=None,
            add_generation_prompt=case.get("add_generation_prompt", True),
            bos_token="<bos>", eos_token="<eos>", **case.get("extra", {}))
    except Exception:  # a template may stumble over its input in any way
        return None


def write(out_dir, path):
    source = path.read_text()
    cases = []
    for case in CASES:
        if "date_string" not in case.get("extra", {}) and "strftime_now" in source:
            case = {**case, "extra": {**case.get("extra", {}), "date_string": "26 Jul 2024"}}
        cases.append({**case, "expect": render(source, case)})
    golden = {"template": str(path) if out_dir != HERE else path.name, "cases": cases}
    (out_dir / (path.stem + ".json")).write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    templates = [pathlib.Path(name).resolve() for name in sys.argv[2:]] or sorted(HERE.glob("*.jinja"))
    for template in templates:
        write(out, template)
