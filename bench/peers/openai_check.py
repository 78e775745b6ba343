"""Uses a running `argosy serve` through the openai Python client, as an ordinary program would.

Needs the openai package (bench/peers/README.md) and a server:

    argosy serve smollm2 --port 8080 [--api-key KEY]
    python bench/peers/openai_check.py --url http://127.0.0.1:8080 [--key KEY]

Every feature of the API is tried, and what the client raises for every mistake. Prints a line for
each fact; ends with exit code 1 if one does not hold.
"""

import argparse
import json
import sys
import threading
import time

import openai

failed = 0


def expect(fact, truth, shown=""):
    global failed
    failed += not truth
    print(f"{'  ' if truth else 'NO'} {fact}{'' if truth else f': {shown!r}'}")


def raises(fact, kind, call, code=None):
    try:
        call()
    except kind as error:
        expect(fact, code is None or error.code == code, error)
    except Exception as error:  # any other is what is to be found
        expect(fact, False, error)
    else:
        expect(fact, False, "nothing was raised")


def chat_checks(client, model):
    ask = client.chat.completions.create
    say = [{"role": "user", "content": "Name three colours, please."}]
    answer = ask(model=model, messages=say, max_tokens=40)
    choice = answer.choices[0]
    expect("a chat is answered", choice.message.role == "assistant" and choice.message.content, answer)
    expect("with a reason", choice.finish_reason in ("stop", "length"), choice.finish_reason)
    expect("and usage", answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens)

    chunks = list(ask(model=model, messages=say, max_tokens=40, temperature=0, stream=True,
                      stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    whole = ask(model=model, messages=say, max_tokens=40, temperature=0)
    expect("a stream says what a whole answer says", text == whole.choices[0].message.content, text)
    expect("its first delta has the role", chunks[0].choices[0].delta.role == "assistant")
    expect("its last chunk has the usage", chunks[-1].usage.completion_tokens == whole.usage.completion_tokens)

    word = text.split()[1] if len(text.split()) > 1 else text
    stopped = ask(model=model, messages=say, max_tokens=40, temperature=0, stop=[word]).choices[0]
    expect("a stop sequence ends it", stopped.message.content == text[:text.index(word)]
           and stopped.finish_reason == "stop", stopped)
    short = ask(model=model, messages=say, max_completion_tokens=2).choices[0]
    expect("max_completion_tokens cuts it", short.finish_reason == "length", short)

    several = ask(model=model, messages=say, max_tokens=12, n=3, seed=5, temperature=1.5)
    again = ask(model=model, messages=say, max_tokens=12, n=3, seed=5, temperature=1.5)
    texts = [choice.message.content for choice in several.choices]
    expect("n answers come", len(texts) == 3 and len(set(texts)) > 1, texts)
    expect("the same seed gives the same", texts == [choice.message.content for choice in again.choices], texts)

    logprobs = ask(model=model, messages=say, max_tokens=5, temperature=0, logprobs=True,
                   top_logprobs=3).choices[0].logprobs.content
    expect("logprobs come with the most probable", len(logprobs) == 5 and all(
        len(token.top_logprobs) == 3 and token.logprob <= 0 for token in logprobs), logprobs)
    expect("greedy takes the most probable", all(token.token == token.top_logprobs[0].token for token in logprobs))
    for field, value in (("top_p", 0.5), ("presence_penalty", 1), ("frequency_penalty", 1), ("logit_bias", {"5": -100})):
        expect(f"{field} is taken", ask(model=model, messages=say, max_tokens=5, **{field: value}).choices)
    for field, value in (("top_k", 5), ("min_p", 0.1), ("repetition_penalty", 1.1)):
        expect(f"{field} is taken", ask(model=model, messages=say, max_tokens=5, extra_body={field: value}).choices)


def json_checks(client, model):
    ask = client.chat.completions.create
    say = [{"role": "user", "content": "Describe a person."}]
    schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 30},
                                               "age": {"type": "integer"},
                                               "pets": {"type": "array", "maxItems": 2, "items": {"enum": ["cat", "dog"]}}},
              "required": ["name", "age", "pets"], "additionalProperties": False}
    for seed in range(5):
        answer = ask(model=model, messages=say, temperature=1, seed=seed, max_tokens=400, response_format={
            "type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": schema}})
        value = json.loads(answer.choices[0].message.content)
        expect("an answer meets its schema", list(value) == ["name", "age", "pets"] and isinstance(value["age"], int)
               and set(value["pets"]) <= {"cat", "dog"}, value)
    # a small model may go on until its limit; what is whole is JSON
    answer = ask(model=model, messages=say, max_tokens=600, response_format={"type": "json_object"}).choices[0]
    if answer.finish_reason == "stop":
        expect("json_object gives an object", isinstance(json.loads(answer.message.content), dict), answer)
    raises("an unsupported keyword is a BadRequestError", openai.BadRequestError, lambda: ask(
        model=model, messages=say, response_format={"type": "json_schema", "json_schema": {
            "name": "x", "schema": {"type": "string", "pattern": "a+"}}}))

    tools = [{"type": "function", "function": {"name": "weather", "description": "The weather in a city", "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "maxLength": 40}}, "required": ["city"],
        "additionalProperties": False}}}]
    for choice in ("required", {"type": "function", "function": {"name": "weather"}}):
        called = ask(model=model, messages=[{"role": "user", "content": "Weather in Oslo?"}], tools=tools,
                     tool_choice=choice, max_tokens=200).choices[0]
        calls = called.message.tool_calls
        expect("a required call is made", called.finish_reason == "tool_calls" and calls[0].function.name == "weather"
               and isinstance(json.loads(calls[0].function.arguments)["city"], str), called)
    messages = [{"role": "user", "content": "Weather in Oslo?"}, called.message,
                {"role": "tool", "tool_call_id": calls[0].id, "content": "Rain, 4 degrees"}]
    expect("its result can be answered", ask(model=model, messages=messages, tools=tools, tool_choice="none",
                                             max_tokens=30).choices[0].message.content)
    chunks = list(ask(model=model, messages=messages[:1], tools=tools, tool_choice="required", max_tokens=200, stream=True))
    deltas = [call for chunk in chunks if chunk.choices for call in chunk.choices[0].delta.tool_calls or []]
    expect("a stream has calls as deltas", deltas and deltas[0].function.name == "weather"
           and json.loads("".join(call.function.arguments for call in deltas)), deltas)


def other_checks(client, model):
    expect("the model is listed", model in [one.id for one in client.models.list()])
    expect("and found", client.models.retrieve(model).id == model)
    done = client.completions.create(model=model, prompt=["Once upon a time", "One, two,"], max_tokens=8, temperature=0,
                                     logprobs=2, echo=True)
    expect("completions continue each prompt", len(done.choices) == 2
           and done.choices[1].text.startswith("One, two,"), done)
    told = done.choices[0].logprobs
    expect("with logprobs as of old, those of the prompt first", len(told.tokens) == 4 + 8
           and told.token_logprobs[0] is None and all(value < 0 for value in told.token_logprobs[1:]), told)
    text = "".join(chunk.choices[0].text for chunk in client.completions.create(
        model=model, prompt="Once upon a time", max_tokens=8, temperature=0, stream=True))
    expect("and stream", "Once upon a time" + text == done.choices[0].text, text)


def mistakes(client, url, model, key):
    ask = client.chat.completions.create
    say = [{"role": "user", "content": "Hi"}]
    raises("an unknown model is a NotFoundError", openai.NotFoundError, lambda: ask(model="gpt-9", messages=say), "model_not_found")
    raises("a wrong value is a BadRequestError", openai.BadRequestError, lambda: ask(model=model, messages=say, temperature=9))
    raises("an unknown field is one", openai.BadRequestError, lambda: ask(model=model, messages=say, extra_body={"tempreature": 1}))
    raises("a prompt too long is one", openai.BadRequestError,
           lambda: ask(model=model, messages=[{"role": "user", "content": "word " * 100_000}]), "context_length_exceeded")
    raises("embeddings are one", openai.BadRequestError, lambda: client.embeddings.create(model=model, input="x"))
    raises("an unknown path is a NotFoundError", openai.NotFoundError, lambda: client.post("/nothing", body={}, cast_to=object))
    if key:
        wrong = openai.OpenAI(base_url=url + "/v1", api_key="wrong", max_retries=0)
        raises("a wrong key is an AuthenticationError", openai.AuthenticationError, wrong.models.list, "invalid_api_key")


def many(client, model):
    answers = []

    def one(i):
        answers.append(client.chat.completions.create(model=model, max_tokens=16, temperature=0,
                                                      messages=[{"role": "user", "content": f"Count from {i}."}]))

    threads = [threading.Thread(target=one, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect("sixteen at once are all answered", len(answers) == 16, len(answers))
    stream = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Tell a long story."}],
                                            max_tokens=1000, stream=True)
    next(iter(stream))
    stream.close()  # in the middle
    deadline = time.time() + 10
    while time.time() < deadline and metric(client, "argosy_answers_running") > 0:
        time.sleep(0.05)
    expect("who leaves in the middle is not answered on", metric(client, "argosy_answers_running") == 0)


def metric(client, name):
    root = openai.OpenAI(base_url=str(client.base_url).removesuffix("v1/"), api_key=client.api_key)
    text = root.get("/metrics", cast_to=str)
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name + " "))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--key", default="")
    parser.add_argument("--small", action="store_true", help="only what any model can do (a fake one, say)")
    options = parser.parse_args()
    url = options.url.rstrip("/")
    client = openai.OpenAI(base_url=url + "/v1", api_key=options.key or "none", max_retries=0, timeout=300)
    model = client.models.list().data[0].id
    if not options.small:
        chat_checks(client, model)
    json_checks(client, model)
    if not options.small:
        other_checks(client, model)
    mistakes(client, url, model, options.key)
    many(client, model)
    print("all hold" if not failed else f"{failed} do not hold")
    sys.exit(failed > 0)


main()
