#include "serve/completion.h"

#include <doctest/doctest.h>

#include <map>

#include "serve/api_place.h"

using namespace argosy;
using namespace argosy::serve;
using test::deltas;
using test::Json;
using test::text_of;
using Place = test::ApiPlace;

namespace {

const Json kAdd = {{"type", "function"},
                   {"function",
                    {{"name", "add"},
                     {"description", "adds"},
                     {"parameters",
                      {{"type", "object"},
                       {"properties", {{"a", {{"type", "integer"}}}}},
                       {"required", {"a"}}}}}}};

}  // namespace

TEST_CASE("completion: a chat is answered as OpenAI's clients read it") {
  Place place;
  const Json answer = place.chat("Hello é");
  CHECK(answer["object"] == "chat.completion");
  CHECK(answer["id"].get<std::string>().starts_with("chatcmpl-"));
  CHECK(answer["model"] == "echo");
  CHECK(answer["created"].is_number_integer());
  const Json& choice = answer["choices"][0];
  CHECK(choice["index"] == 0);
  CHECK(choice["message"] ==
        Json{{"role", "assistant"}, {"content", "Hello é"}, {"refusal", nullptr}});
  CHECK(choice["finish_reason"] == "stop");
  CHECK(choice["logprobs"].is_null());
  const Json& usage = answer["usage"];
  CHECK(usage["completion_tokens"] == 8);
  CHECK(usage["prompt_tokens"].get<int>() > 8);
  CHECK(usage["total_tokens"] == usage["prompt_tokens"].get<int>() + 8);
  CHECK(usage["prompt_tokens_details"]["cached_tokens"] == 0);
}

TEST_CASE(
    "completion: a stream's first delta has the role, its last the reason, and usage comes if "
    "asked for") {
  Place place;
  const auto chunks = place.chat_stream("Hé 😀", {{"stream_options", {{"include_usage", true}}}});
  CHECK(deltas(chunks) == "Hé 😀");
  CHECK(chunks.front()["object"] == "chat.completion.chunk");
  CHECK(chunks.front()["choices"][0]["delta"]["role"] == "assistant");
  CHECK(chunks.front()["usage"].is_null());
  const Json& last = chunks[chunks.size() - 2]["choices"][0];
  CHECK(last["finish_reason"] == "stop");
  CHECK(last["delta"] == Json::object());
  CHECK(chunks.back()["choices"] == Json::array());
  CHECK(chunks.back()["usage"]["completion_tokens"] == 8);
  for (const Json& chunk : chunks) CHECK(chunk["id"] == chunks.front()["id"]);
  CHECK(!place.chat_stream("x").back().contains("usage"));
}

TEST_CASE("completion: a stream and a whole answer say the same") {
  Place place;
  for (const Json& more :
       {Json::object(), Json{{"stop", "lo"}}, Json{{"stop", {"q", "o w"}}}, Json{{"max_tokens", 4}},
        Json{{"max_completion_tokens", 3}}, Json{{"stop", "never"}}}) {
    const Json whole = place.chat("Hello world", more);
    const auto chunks = place.chat_stream("Hello world", more);
    INFO(more.dump());
    CHECK(deltas(chunks) == text_of(whole));
    CHECK(chunks.back()["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]);
  }
  CHECK(text_of(place.chat("Hello world", {{"stop", "lo w"}})) == "Hel");
  CHECK(text_of(place.chat("Hello world", {{"max_tokens", 4}})) == "Hell");
  CHECK(place.chat("Hello world", {{"max_tokens", 4}})["choices"][0]["finish_reason"] == "length");
  CHECK(place.chat("endless", {{"stop", "aaa"}})["choices"][0]["finish_reason"] == "stop");
}

TEST_CASE("completion: n answers differ by their seeds, and the same seed gives the same again") {
  Place place;
  const Json more = {{"n", 3}, {"seed", 7}};
  const Json answer = place.chat("dice", more);
  REQUIRE(answer["choices"].size() == 3);
  CHECK(answer["choices"][0]["message"]["content"] != answer["choices"][1]["message"]["content"]);
  CHECK(place.chat("dice", more)["choices"] == answer["choices"]);
  CHECK(answer["usage"]["completion_tokens"] == 60);
  CHECK(answer["usage"]["prompt_tokens"] == place.chat("dice")["usage"]["prompt_tokens"]);
  const auto chunks = place.chat_stream("dice", more);
  for (int64_t i = 0; i < 3; ++i)
    CHECK(deltas(chunks, i) == answer["choices"][i]["message"]["content"]);
}

TEST_CASE("completion: logprobs name each token with its bytes and the most probable") {
  Place place;
  const Json answer = place.chat("é!", {{"logprobs", true}, {"top_logprobs", 2}});
  const Json& content = answer["choices"][0]["logprobs"]["content"];
  REQUIRE(content.size() == 3);
  CHECK(content[0]["bytes"] == Json{0xC3});
  CHECK(content[0]["token"] == "\xEF\xBF\xBD");
  CHECK(content[2]["token"] == "!");
  CHECK(content[2]["logprob"] == -0.5);
  CHECK(content[2]["top_logprobs"].size() == 2);
  CHECK(content[2]["top_logprobs"][1]["token"] == "b");
  Json all = Json::array();
  for (const Json& chunk : place.chat_stream("é!", {{"logprobs", true}, {"top_logprobs", 2}}))
    for (const Json& token : chunk["choices"][0]["logprobs"]["content"]) all.push_back(token);
  CHECK(all == content);
}

TEST_CASE("completion: a completion continues texts and tokens, with logprobs and echo as of old") {
  Place place;
  const Json answer =
      place.good("/v1/completions", {{"prompt", {"one", "two"}}, {"n", 2}, {"max_tokens", 50}});
  CHECK(answer["object"] == "text_completion");
  REQUIRE(answer["choices"].size() == 4);
  CHECK(answer["choices"][1]["text"] == "one");
  CHECK(answer["choices"][2]["text"] == "two");
  CHECK(answer["choices"][2]["index"] == 2);
  CHECK(answer["usage"]["prompt_tokens"] == 6);
  CHECK(answer["usage"]["completion_tokens"] == 12);
  CHECK(place.good("/v1/completions", {{"prompt", {104, 105}}})["choices"][0]["text"] == "hi");
  CHECK(place.good("/v1/completions", {{"prompt", {{104, 105}, {106}}}})["choices"][1]["text"] ==
        "j");
  CHECK(place.good("/v1/completions", {{"prompt", "hi"}, {"echo", true}})["choices"][0]["text"] ==
        "hihi");
  const Json logprobs =
      place.good("/v1/completions", {{"prompt", "hi"}, {"logprobs", 1}})["choices"][0]["logprobs"];
  CHECK(logprobs == Json{{"tokens", {"h", "i"}},
                         {"token_logprobs", {-0.5, -0.5}},
                         {"top_logprobs", {{{"a", -1.0}}, {{"a", -1.0}}}},
                         {"text_offset", {0, 1}}});
}

TEST_CASE("completion: echo with logprobs has those of the prompt, the first of which is null") {
  Place place;
  const Json asked = {{"prompt", "hi"}, {"logprobs", 1}, {"echo", true}};
  const Json wanted = {{"tokens", {"h", "i", "h", "i"}},
                       {"token_logprobs", {nullptr, -0.25, -0.5, -0.5}},
                       {"top_logprobs", {nullptr, {{"z", -2.0}}, {{"a", -1.0}}, {{"a", -1.0}}}},
                       {"text_offset", {0, 1, 2, 3}}};
  CHECK(place.good("/v1/completions", asked)["choices"][0]["logprobs"] == wanted);
  std::string text;
  Json all;
  for (const Json& chunk : place.stream("/v1/completions", asked)) {
    const Json& choice = chunk["choices"][0];
    text += choice["text"].get<std::string>();
    for (const auto& [name, list] : choice["logprobs"].items())
      for (const Json& each : list) all[name].push_back(each);
  }
  CHECK(text == "hihi");
  CHECK(all == wanted);
  // as those who score texts ask for it
  Json scored = asked;
  scored["max_tokens"] = 0;
  scored["prompt"] = {"hi", "j"};
  const Json choices = place.good("/v1/completions", scored)["choices"];
  CHECK(choices[0]["text"] == "hi");
  CHECK(choices[0]["logprobs"]["token_logprobs"] == Json{nullptr, -0.25});
  CHECK(choices[1]["logprobs"]["token_logprobs"] == Json{nullptr});
  CHECK(place.post("/v1/completions", {{"prompt", "hi"}, {"max_tokens", 0}}).status == 400);
  scored["logprobs"] = 20;
  scored["n"] = 64;
  scored["prompt"] = std::string(4000, 'x');
  CHECK(place.post("/v1/completions", scored).status == 400);  // more than is answered at a time
}

TEST_CASE("completion: an answer that must be JSON is, whatever the model wants to say") {
  Place place;
  const Json free = place.chat("no JSON at all", {{"response_format", {{"type", "json_object"}}}});
  CHECK(Json::parse(text_of(free)).is_object());
  const Json schema = {
      {"type", "object"},
      {"properties", {{"a", {{"type", "integer"}}}, {"b", {{"enum", {"x", "y"}}}}}},
      {"required", {"a", "b"}},
      {"additionalProperties", false}};
  const Json format = {{"type", "json_schema"},
                       {"json_schema", {{"name", "it"}, {"strict", true}, {"schema", schema}}}};
  const Json value = Json::parse(text_of(place.chat("nothing", {{"response_format", format}})));
  CHECK(value["a"].is_number_integer());
  CHECK((value["b"] == "x" || value["b"] == "y"));
  CHECK(text_of(place.chat(R"({"a": 12, "b": "y"})", {{"response_format", format}})) ==
        R"({"a": 12, "b": "y"})");
  CHECK(text_of(place.chat("plain", {{"response_format", {{"type", "text"}}}})) == "plain");
}

TEST_CASE("completion: a call in an answer is taken apart, whole and as a stream") {
  Place place;
  const Json more = {{"tools", {kAdd}}};
  const std::string call =
      "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>";
  const Json choice = place.chat("Well: " + call, more)["choices"][0];
  CHECK(choice["finish_reason"] == "tool_calls");
  REQUIRE(choice["message"]["tool_calls"].size() == 1);
  const Json& named = choice["message"]["tool_calls"][0];
  CHECK(named["type"] == "function");
  CHECK(named["id"].get<std::string>().starts_with("call_"));
  CHECK(named["function"]["name"] == "add");
  CHECK(Json::parse(named["function"]["arguments"].get<std::string>()) == Json{{"a", 1}});

  const Json single = {{"tools", {kAdd}}, {"parallel_tool_calls", false}};
  CHECK(place.chat(call + call, single)["choices"][0]["message"]["tool_calls"].size() == 1);
  // what only looks like one is text
  for (const char* text : {"a <tool_call> is a tag", "a <tool", "plain"}) {
    CHECK(text_of(place.chat(text, more)) == text);
    CHECK(deltas(place.chat_stream(text, more)) == text);
  }
}

TEST_CASE("completion: a stream and a whole answer have the same calls and the same text around") {
  Place place;
  const std::string good =
      "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>";
  const std::string bad = "<tool_call>{\"name\": 1}</tool_call>";
  for (const std::string& text :
       {"Well: " + good + good, "a\n" + good + "\nb\n" + good + "\n", bad + "\n" + good + " c",
        "\n " + good, good + "\n" + bad, std::string("a <tool_call> b\n"), bad + " ",
        "d " + good.substr(0, good.size() - 5)})
    for (const bool parallel : {true, false})
      for (const int64_t most : {1000, 60}) {
        const Json more = {
            {"tools", {kAdd}}, {"parallel_tool_calls", parallel}, {"max_tokens", most}};
        const Json choice = place.chat(text, more)["choices"][0];
        const Json& message = choice["message"];
        const auto chunks = place.chat_stream(text, more);
        INFO(text << more.dump());
        CHECK(deltas(chunks) ==
              (message["content"].is_null() ? "" : text_of({{"choices", {choice}}})));
        CHECK(chunks.back()["choices"][0]["finish_reason"] == choice["finish_reason"]);
        Json calls = Json::array();
        for (const Json& chunk : chunks)
          for (const Json& call : chunk["choices"][0]["delta"].value("tool_calls", Json::array())) {
            CHECK(call["index"] == calls.size());
            calls.push_back(call["function"]);
          }
        Json wanted = Json::array();
        for (const Json& call : message.value("tool_calls", Json::array()))
          wanted.push_back(call["function"]);
        CHECK(calls == wanted);
      }
}

TEST_CASE("completion: a call that is required is made") {
  Place place;
  for (const Json& choice :
       {Json("required"), Json{{"type", "function"}, {"function", {{"name", "add"}}}}}) {
    const Json answer =
        place.chat("nothing", {{"tools", {kAdd}}, {"tool_choice", choice}})["choices"][0];
    REQUIRE(answer["message"]["tool_calls"].size() == 1);
    CHECK(answer["finish_reason"] == "tool_calls");
    CHECK(answer["message"]["content"].is_null());
    const auto arguments =
        answer["message"]["tool_calls"][0]["function"]["arguments"].get<std::string>();
    CHECK(Json::parse(arguments)["a"].is_number_integer());
  }
  CHECK(text_of(place.chat("plain", {{"tools", {kAdd}}, {"tool_choice", "none"}})) == "plain");
}

TEST_CASE("completion: a conversation with calls and their results is taken") {
  Place place;
  const Json messages = {
      {{"role", "developer"},
       {"content", {{{"type", "text"}, {"text", "be"}}, {{"type", "text"}, {"text", "brief"}}}}},
      {{"role", "user"}, {"content", "1 + 1?"}, {"name", "ada"}},
      {{"role", "assistant"},
       {"content", nullptr},
       {"tool_calls",
        {{{"id", "call_1"},
          {"type", "function"},
          {"function", {{"name", "add"}, {"arguments", "{\"a\": 1}"}}}}}}},
      {{"role", "tool"}, {"tool_call_id", "call_1"}, {"content", "2"}},
      {{"role", "user"}, {"content", "Thanks"}}};
  CHECK(text_of(place.good("/v1/chat/completions", {{"messages", messages}, {"tools", {kAdd}}})) ==
        "Thanks");
}

TEST_CASE("completion: a wrong value in any field is a 400 that names the field") {
  Place place;
  const Json huge = Json::parse("18446744073709551615");
  const std::map<std::string, std::vector<Json>> both = {
      {"model", {3, {{"a", 1}}, Json::array({"echo"})}},
      {"temperature", {-0.1, 2.1, "1", 1e300, true, Json::array()}},
      {"top_p", {-1, 1.5, "1", huge}},
      {"min_p", {-1, 1.5, "1"}},
      {"top_k", {-2, 1.5, "1", huge, 1e300}},
      {"presence_penalty", {-3, 3, "1"}},
      {"frequency_penalty", {-3, 3, "1"}},
      {"repetition_penalty", {0, -1, 11, "1"}},
      {"seed", {1.5, "1", huge, 1e300}},
      {"n", {0, -1, 65, 1.5, "1", huge, true}},
      {"stop",
       {3,
        {{"a", 1}},
        Json::array({3}),
        "",
        Json::array({""}),
        std::string(2000, 'x'),
        Json(std::vector<std::string>(17, "x"))}},
      {"stream", {1, "true"}},
      {"stream_options", {3, {{"include_usage", true}}}},
      {"logit_bias",
       {3,
        Json::array(),
        {{"x", 1}},
        {{"-1", 1}},
        {{"99999999999999999999", 1}},
        {{"1000000", 1}},
        {{"1", 101}},
        {{"1", "a"}}}},
      {"max_tokens", {0, -1, 1.5, "1", huge, 1e300, 5000}},
      {"response_format",
       {3,
        "json",
        {{"type", "xml"}},
        {{"type", "json_schema"}},
        {{"type", "json_schema"}, {"json_schema", {{"schema", 3}}}},
        {{"type", 3}}}},
      {"no_such_field", {1, "x", {{"a", 1}}}},
  };
  std::map<std::string, std::vector<Json>> chat = both, text = both;
  chat["messages"] = {3,
                      "hi",
                      Json::array(),
                      Json::array({3}),
                      {{{"role", "user"}}},
                      {{{"role", "cat"}, {"content", "x"}}},
                      {{{"content", "x"}}},
                      {{{"role", "user"}, {"content", 3}}},
                      {{{"role", "user"}, {"content", {{{"type", "image_url"}}}}}},
                      {{{"role", "user"}, {"content", {3}}}},
                      {{{"role", "assistant"}, {"tool_calls", 3}}},
                      {{{"role", "assistant"},
                        {"tool_calls", {{{"function", {{"name", "x"}, {"arguments", "no"}}}}}}}},
                      {{{"role", "user"}, {"content", "x"}, {"odd", 1}}}};
  chat["max_completion_tokens"] = {0, -1, "1", huge};
  chat["logprobs"] = {1, "true"};
  chat["top_logprobs"] = {-1, 21, "1", 3};
  chat["tools"] = {3,
                   {3},
                   {{{"type", "web"}}},
                   {{{"type", "function"}}},
                   {{{"type", "function"}, {"function", {{"name", ""}}}}},
                   {{{"type", "function"}, {"function", {{"name", "a"}, {"parameters", 3}}}}}};
  chat["tool_choice"] = {3,
                         "always",
                         "required",
                         {{"type", "function"}},
                         {{"type", "function"}, {"function", {{"name", "none"}}}}};
  chat["parallel_tool_calls"] = {1};
  chat["modalities"] = {{"text", "audio"}, "text"};
  text["prompt"] = {3,
                    Json::array(),
                    {{"a", 1}},
                    {-1},
                    {1.5},
                    {"a", 3},
                    {1, "a"},
                    {{-1}},
                    {huge},
                    {{1000000}},
                    Json(std::vector<std::string>(65, "x")),
                    "",
                    Json::array({""})};
  text["logprobs"] = {-1, 21, true, "1"};
  text["echo"] = {1};
  text["suffix"] = {3, "x"};
  text["best_of"] = {0, 3, "1"};
  const auto check_all = [&](const std::string& path, const Json& good, const auto& bad) {
    CHECK(place.post(path, good).status == 200);
    for (const auto& [field, values] : bad)
      for (const Json& value : values) {
        Json json = good;
        json[field] = value;
        const HttpResponse response = place.post(path, json);
        INFO(json.dump().substr(0, 200) << "\n" << response.body);
        REQUIRE(response.status == 400);
        const Json error = Json::parse(response.body)["error"];
        CHECK(error["type"] == "invalid_request_error");
        CHECK(error["message"].get<std::string>().find(field) != std::string::npos);
        CHECK(error["message"].get<std::string>().size() < 600);
      }
  };
  check_all("/v1/chat/completions", {{"messages", {{{"role", "user"}, {"content", "hi"}}}}}, chat);
  check_all("/v1/completions", {{"prompt", "hi"}}, text);
}

TEST_CASE("completion: null is as good as absent, and what others take without effect is taken") {
  Place place;
  Json nulls = Json::object();
  for (const char* field : {"model", "temperature", "top_p", "n", "stop", "stream",
                            "stream_options", "max_tokens", "logit_bias", "seed", "logprobs",
                            "top_logprobs", "tools", "tool_choice", "response_format"})
    nulls[field] = nullptr;
  CHECK(text_of(place.chat("hi", nulls)) == "hi");
  CHECK(text_of(place.chat("hi", {{"user", "me"},
                                  {"metadata", {{"a", "b"}}},
                                  {"store", false},
                                  {"service_tier", "auto"}})) == "hi");
}

TEST_CASE("completion: a prompt longer than the context is a 400 with the code that clients know") {
  Place place({}, 64);
  const std::string long_text(100, 'x');
  const Json chat = {{"messages", {{{"role", "user"}, {"content", long_text}}}}};
  for (const auto& [path, json] : std::map<std::string, Json>{
           {"/v1/chat/completions", chat}, {"/v1/completions", Json{{"prompt", long_text}}}}) {
    const HttpResponse response = place.post(path, json);
    CHECK(response.status == 400);
    CHECK(Json::parse(response.body)["error"]["code"] == "context_length_exceeded");
  }
  // what fits ends at the context
  const Json answer = place.good("/v1/completions", {{"prompt", "endless"}, {"max_tokens", 64}});
  CHECK(answer["usage"]["total_tokens"] == 64);
  CHECK(answer["choices"][0]["finish_reason"] == "length");
}

TEST_CASE(
    "completion: a failure is a 500, and in a stream that has begun an event that clients raise") {
  Place place;
  const Json json = {{"messages", {{{"role", "user"}, {"content", "fail"}}}}};
  const HttpResponse whole = place.post("/v1/chat/completions", json);
  CHECK(whole.status == 500);
  CHECK(Json::parse(whole.body)["error"]["message"] == "the machine is on fire");
  const HttpResponse late = place.post(
      "/v1/completions", {{"prompt", "fail late"}, {"stream", true}, {"max_tokens", 100}});
  CHECK(late.status == 200);
  CHECK(late.body.find("data: {\"error\":{\"message\":\"the machine is on fire\"") !=
        std::string::npos);
  CHECK(late.body.find("[DONE]") == std::string::npos);
}
