"""The official client, in its present and its old major version."""
import json
import os
import subprocess
import sys
import textwrap

import openai
import pytest

from conftest import package_path


@pytest.fixture
def client(server):
    return openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)


@pytest.fixture
def model(client):
    return client.models.list().data[0].id


def test_models(client, model):
    assert client.models.retrieve(model).id == model
    with pytest.raises(openai.NotFoundError) as error:
        client.models.retrieve("gpt-none")
    assert error.value.code == "model_not_found"


def test_chat(client, model):
    answer = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Say hello."}], max_tokens=12, temperature=0)
    choice = answer.choices[0]
    assert answer.object == "chat.completion" and answer.id.startswith("chatcmpl-")
    assert choice.message.role == "assistant" and choice.message.content
    assert choice.finish_reason in ("stop", "length")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert 0 <= answer.usage.prompt_tokens_details.cached_tokens < answer.usage.prompt_tokens


def test_chat_stream_equals_answer(client, model):
    arguments = dict(model=model, messages=[{"role": "user", "content": "Count to five."}], max_tokens=30, seed=3)
    whole = client.chat.completions.create(**arguments)
    chunks = list(client.chat.completions.create(**arguments, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    usage = chunks[-1].usage
    assert chunks[-1].choices == [] and usage.prompt_tokens_details.cached_tokens >= 0
    usage.prompt_tokens_details = whole.usage.prompt_tokens_details  # the second call may find the first one's pages
    assert usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert "".join(c.choices[0].delta.content or "" for c in chunks[:-1]) == whole.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert len({chunk.id for chunk in chunks}) == 1


def test_chat_content_parts(client, model):
    parts = [{"type": "text", "text": "Say"}, {"type": "text", "text": "hello."}]
    as_parts = client.chat.completions.create(model=model, messages=[{"role": "user", "content": parts}], max_tokens=8,
                                              temperature=0)
    as_text = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Say\nhello."}],
                                             max_tokens=8, temperature=0)
    assert as_parts.choices[0].message.content == as_text.choices[0].message.content
    image = [{"type": "image_url", "image_url": {"url": "http://127.0.0.1/a.png"}}]
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": image}])
    assert error.value.param == "messages[0].content[0]" and "image_url" in error.value.message


def test_chat_logprobs(client, model):
    answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hi"}], max_tokens=5,
                                            logprobs=True, top_logprobs=3, temperature=0)
    content = answer.choices[0].logprobs.content
    assert len(content) == answer.usage.completion_tokens
    for entry in content:
        assert entry.logprob <= 0 and len(entry.top_logprobs) == 3
        assert bytes(entry.bytes).decode(errors="replace")
        # Greedy: the first alternative is the token itself.
        assert entry.top_logprobs[0].token == entry.token


def test_completion(client, model):
    answer = client.completions.create(model=model, prompt="The sky is", max_tokens=6, temperature=0, logprobs=2)
    choice = answer.choices[0]
    assert answer.object == "text_completion" and answer.id.startswith("cmpl-")
    assert choice.finish_reason == "length" and answer.usage.completion_tokens == 6
    logprobs = choice.logprobs
    assert "".join(logprobs.tokens) == choice.text
    assert logprobs.text_offset[0] == 0 and len(logprobs.text_offset) == 6
    assert all(len(top) >= 2 for top in logprobs.top_logprobs)


def test_completion_stream(client, model):
    arguments = dict(model=model, prompt="Once upon a time", max_tokens=25, seed=11, temperature=1.0)
    whole = client.completions.create(**arguments).choices[0].text
    chunks = client.completions.create(**arguments, stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole


def test_errors_are_typed(client, model):
    with pytest.raises(openai.BadRequestError) as error:
        client.completions.create(model=model, prompt="x", temperature=9)
    assert error.value.param == "temperature" and "0 to 2" in error.value.message
    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="gpt-none", prompt="x")


def test_stream_error_is_raised(fake):
    client = openai.OpenAI(base_url=fake.url + "/v1", api_key="none", max_retries=0)
    with pytest.raises(openai.APIError, match="crashed"):
        for _ in client.completions.create(model="fake", prompt="crash", stream=True):
            pass
    with pytest.raises(openai.InternalServerError, match="crashed"):
        client.completions.create(model="fake", prompt="crash")


OLD_CLIENT = """
    import json, sys
    import openai
    openai.api_base, openai.api_key = sys.argv[1] + "/v1", "none"
    model = openai.Model.list()["data"][0]["id"]
    messages = [{"role": "user", "content": "Say hello."}]
    chat = openai.ChatCompletion.create(model=model, messages=messages, max_tokens=9, temperature=0)
    stream = openai.ChatCompletion.create(model=model, messages=messages, max_tokens=9, temperature=0, stream=True)
    streamed = "".join(c["choices"][0]["delta"].get("content", "") for c in stream)
    text = openai.Completion.create(model=model, prompt=["a", "b"], max_tokens=4, n=2, echo=True, logprobs=1)
    try:
        openai.Completion.create(model=model, prompt="a", top_p=7)
        error = None
    except openai.error.InvalidRequestError as e:
        error = e.param
    print(json.dumps({"version": openai.version.VERSION, "chat": chat["choices"][0]["message"]["content"],
                      "streamed": streamed, "indices": [c["index"] for c in text["choices"]],
                      "texts": [c["text"] for c in text["choices"]], "error": error}))
"""


def test_old_client(server):
    environment = dict(os.environ, PYTHONPATH=package_path("openai-old"))
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(OLD_CLIENT), server.url], env=environment,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["version"].startswith("0.")
    assert result["chat"] and result["streamed"] == result["chat"]
    assert result["indices"] == [0, 1, 2, 3]
    assert [text[0] for text in result["texts"]] == ["a", "a", "b", "b"]
    assert result["error"] == "top_p"
