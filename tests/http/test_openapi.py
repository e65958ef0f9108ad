"""docs/openapi.yaml against the server, and the server's answers against OpenAI's own schemas."""
import copy
import gzip
import json
import os
import subprocess
import sys

import pytest

from conftest import ROOT, package_path

DOCUMENT = ROOT / "docs/openapi.yaml"
OPENAI = ROOT.parent / "shared/conformance/openai_subset.yaml.gz"


@pytest.fixture(scope="module")
def packages():
    path = package_path("schemathesis")
    sys.path.insert(0, path)
    yield path
    sys.path.remove(path)


def schemathesis(packages, document, server, *options):
    command = "from schemathesis.cli import schemathesis; schemathesis()"
    done = subprocess.run(
        [sys.executable, "-c", command, "run", str(document), "--url", server.url, "--seed", "1", "--max-examples", "15",
         "--generation-database", "none", "--phases", "examples,coverage,fuzzing", "--no-color", *options],
        env=dict(os.environ, PYTHONPATH=packages), cwd=document.parent, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def narrowed(document):
    """Values that any context and vocabulary can take, and answers that come soon."""
    def limit(name, schema):
        limits = {"n": {"maximum": 4}, "max_tokens": {"maximum": 32}, "max_completion_tokens": {"maximum": 32},
                  "stream": {"enum": [False]}, "role": {"enum": ["system", "developer", "user", "assistant"]},
                  "min_tokens": {"maximum": 4}, "kv_type": {"enum": ["f16", "int8"]}}
        schema.update(limits.get(name, {}))

    def walk(node, name=""):
        if isinstance(node, list):
            for child in node:
                walk(child, name)
        elif isinstance(node, dict):
            if isinstance(node.get("type"), str):
                limit(name, node)
                if node["type"] == "string" and "enum" not in node:
                    node.setdefault("pattern", "^[a-zA-Z0-9 ]*$")
                    node["maxLength"] = 40
                if node["type"] == "array":
                    # At most 4 places may be marked by cache_control.
                    node["maxItems"] = min(node.get("maxItems", 8), {"messages": 1, "content": 2, "tools": 1}.get(name, 8))
                if node["type"] == "integer" and name in ("prompt", "tokens"):
                    node["maximum"] = 255
            for key, child in node.items():
                walk(child, name if key in ("items", "oneOf", "allOf", "type") else key)

    document = copy.deepcopy(document)
    for path in document["paths"].values():
        walk(path.get("post", {}).get("requestBody", {}))
    for schema in ("Sampling", "CompletionRequest", "ChatRequest"):
        walk(document["components"]["schemas"][schema])
    return document


def test_good_requests_succeed(packages, fake, tmp_path):
    import yaml
    document = tmp_path / "narrowed.json"
    document.write_text(json.dumps(narrowed(yaml.safe_load(DOCUMENT.read_text()))))
    schemathesis(packages, document, fake, "--mode", "positive")


def test_bad_requests_are_refused(packages, fake, tmp_path):
    import yaml
    document = tmp_path / "whole.json"
    document.write_text(json.dumps(yaml.safe_load(DOCUMENT.read_text())))
    schemathesis(packages, document, fake, "--mode", "negative")


@pytest.fixture(scope="module")
def openai_schemas(packages):
    if not OPENAI.exists():
        pytest.skip(f"{OPENAI} is absent")
    import yaml
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    schemas = yaml.load(gzip.open(OPENAI), loader)["components"]["schemas"]
    return with_null(json.loads(json.dumps(schemas, default=str)))  # examples hold dates, which JSON has not


def with_null(schema):
    """The document says nullable as OpenAPI 3.0 did; JSON Schema has a type for it."""
    if isinstance(schema, list):
        return [with_null(child) for child in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: with_null(child) for key, child in schema.items()}
    return {"anyOf": [schema, {"type": "null"}]} if schema.pop("nullable", None) is True else schema


def conforms(schemas, name, value):
    import jsonschema_rs
    root = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
    errors = [f"{list(e.instance_path)}: {e.message[:300]}" for e in jsonschema_rs.validator_for(root).iter_errors(value)]
    assert not errors, errors[:5]


def events(response):
    lines = response.text.split("\n\n")
    return [json.loads(line[len("data: "):]) for line in lines if line.startswith("data: {")]


def test_answers_conform_to_openai(openai_schemas, server):
    chat = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, "temperature": 0}
    conforms(openai_schemas, "CreateChatCompletionRequest", {"model": "m", **chat})
    for extra in ({}, {"n": 2}, {"logprobs": True, "top_logprobs": 3}):
        conforms(openai_schemas, "CreateChatCompletionResponse", server.post("/v1/chat/completions", {**chat, **extra}).json())
        streamed = server.post("/v1/chat/completions", {**chat, **extra, "stream": True})
        for event in events(streamed):
            conforms(openai_schemas, "CreateChatCompletionStreamResponse", event)
    for extra in ({}, {"n": 2, "echo": True}, {"logprobs": 3}):
        body = {"prompt": "Hi", "max_tokens": 5, **extra}
        conforms(openai_schemas, "CreateCompletionResponse", server.complete(**body))
        for event in events(server.post("/v1/completions", {**body, "stream": True})):
            # The schema is that of a whole answer: it has no chunk that is not the last.
            event["choices"][0]["finish_reason"] = event["choices"][0]["finish_reason"] or "stop"
            conforms(openai_schemas, "CreateCompletionResponse", event)
    conforms(openai_schemas, "ListModelsResponse", server.get("/v1/models").json())
    conforms(openai_schemas, "Model", server.get("/v1/models").json()["data"][0])
    conforms(openai_schemas, "ErrorResponse", server.post("/v1/completions", {}).json())
