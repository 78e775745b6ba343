#include "serve/http_server.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "serve/api.h"
#include "serve/fake_model.h"
#include "serve/http/client.h"

using namespace argosy;
using namespace argosy::serve;
using test::Client;
using test::get;
using test::post;
using Json = nlohmann::json;

namespace {

ServerOptions quick() {
  ServerOptions options;
  options.port = 0;
  return options;
}

struct Place {
  test::ByteTokenizer tokenizer;
  Api api{{.log_requests = false}};
  Server server;
  test::EchoGenerator generator;
  ServedModel model{"echo", tokenizer, generator, text::ChatTemplate::named("chatml")};

  explicit Place(const ServerOptions& options = quick(), std::chrono::microseconds pace = {})
      : server(
            options, [this](const auto& exchange) { api.handle(exchange); },
            [this](const auto& request, const auto& ended) { api.ended(request, ended); }),
        generator(4096, pace) {
    api.open(model);
  }
  ~Place() { server.stop(0); }

  Client client() const { return Client(server.port()); }
  /// Somebody else is served meanwhile.
  bool serves_others() const {
    Client other(server.port());
    const auto answer = other.ask(post("/v1/completions", R"({"prompt": "hello"})"));
    return answer.status == 200 && Json::parse(answer.body)["choices"][0]["text"] == "hello";
  }
};

std::string endless(bool stream) {
  return post("/v1/completions",
              Json{{"prompt", "endless"}, {"max_tokens", 4000}, {"stream", stream}}.dump());
}

void wait_until(const std::function<bool()>& done) {
  for (int i = 0; i < 4000; ++i, std::this_thread::sleep_for(std::chrono::milliseconds(5)))
    if (done()) return;
  FAIL("it has not come to that in 20 s");
}

std::string error_of(const Client::Answer& answer) {
  const Json json = Json::parse(answer.body, nullptr, false);
  return json.is_object() ? json["error"].value("message", "") : "";
}

}  // namespace

TEST_CASE("server: requests follow each other on a connection") {
  const Place place;
  Client client = place.client();
  for (int i = 0; i < 3; ++i) {
    CHECK(client.ask(get("/health")).body == R"({"status":"ok"})");
    const auto answer = client.ask(post("/v1/completions", R"({"prompt": "hi"})"));
    CHECK(answer.status == 200);
    CHECK(Json::parse(answer.body)["choices"][0]["text"] == "hi");
  }
}

TEST_CASE("server: requests sent at once are answered in their order") {
  const Place place;
  Client client = place.client();
  std::string all;
  for (int i = 0; i < 20; ++i)
    all += post("/v1/completions",
                fmt::format(R"({{"prompt": "number {}", "stream": {}}})", i, i % 2 == 0)) +
           get("/health");
  client.send(all);
  for (int i = 0; i < 20; ++i) {
    const auto answer = client.answer();
    CHECK(answer.status == 200);
    if (i % 2) CHECK(Json::parse(answer.body)["choices"][0]["text"] == fmt::format("number {}", i));
    CHECK(client.answer().body == R"({"status":"ok"})");
  }
}

TEST_CASE("server: a stream comes as it is made, in chunks") {
  const Place place(quick(), std::chrono::milliseconds(1));
  Client client = place.client();
  client.send(post("/v1/completions", R"({"prompt": "abcdefgh", "stream": true})"));
  const std::string head = client.read_until("\r\n\r\n");
  CHECK(head.find("Content-Type: text/event-stream") != std::string::npos);
  CHECK(head.find("Transfer-Encoding: chunked") != std::string::npos);
  const std::string first = client.read_until("\n\n\r\n");
  CHECK(first.find("\"text\":\"a\"") != std::string::npos);
  CHECK(first.find("\"text\":\"b\"") == std::string::npos);
  CHECK(client.read_until("0\r\n\r\n").find("data: [DONE]\n\n") != std::string::npos);
  CHECK(client.ask(get("/health")).status == 200);  // the connection goes on
}

TEST_CASE("server: HTTP/1.0 gets a stream without chunks, ended by the connection's end") {
  const Place place;
  Client client = place.client();
  const std::string body = R"({"prompt": "hi", "stream": true})";
  client.send(fmt::format("POST /v1/completions HTTP/1.0\r\nContent-Length: {}\r\n\r\n{}",
                          body.size(), body));
  const std::string all = client.read_until("never");
  CHECK(all.find("chunked") == std::string::npos);
  CHECK(all.find("data: [DONE]\n\n") == all.size() - 14);
}

TEST_CASE("server: HEAD has no body, and a body may come in chunks or after 100 Continue") {
  const Place place;
  Client client = place.client();
  const auto head = client.ask("HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n", true);
  CHECK(head.status == 200);
  CHECK(head.head.find("Content-Length: 15") != std::string::npos);
  CHECK(client
            .ask("POST /v1/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "9\r\n{\"prompt\"\r\n6\r\n:\"hi\"}\r\n0\r\n\r\n")
            .status == 200);
  client.send(
      "POST /v1/completions HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: "
      "15\r\n\r\n");
  CHECK(client.read_until("\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n");
  CHECK(client.ask("{\"prompt\":\"hi\"}").status == 200);
}

TEST_CASE("server: what is no HTTP is a 400 with a reason, never a closed door") {
  const Place place;
  for (const char* request :
       {"nonsense\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "POST /v1/completions HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "\x16\x03\x01\x02 hello, TLS\r\n\r\n"}) {
    Client client = place.client();
    const auto answer = client.ask(request);
    INFO(request << "\n" << answer.head << answer.body);
    CHECK((answer.status == 400 || answer.status == 413));
    CHECK(error_of(answer) != "");
    CHECK(client.is_closed(5000));
  }
  CHECK(place.serves_others());
}

TEST_CASE("server: endless headers and bodies over the limit are refused as they come") {
  ServerOptions options = quick();
  options.body_bytes = 1000;
  const Place place(options);
  {
    Client client = place.client();
    client.send("GET /health HTTP/1.1\r\n");
    for (int i = 0; i < 10'000 && client.send("X-More: and more of it\r\n"); ++i) {
    }
    CHECK(client.answer().status == 431);
  }
  {
    Client client = place.client();  // says so before it sends
    const auto answer =
        client.ask("POST /v1/completions HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n");
    CHECK(answer.status == 413);
    CHECK(error_of(answer).find("longer than 1000 bytes") != std::string::npos);
  }
  {
    Client client = place.client();  // or does not
    client.send("POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 100'000 && client.send("5\r\nabcde\r\n"); ++i) {
    }
    CHECK(client.answer().status == 413);
  }
  CHECK(place.serves_others());
}

TEST_CASE("server: bodies that are announced together are bounded together") {
  ServerOptions options = quick();
  options.all_body_bytes = 2000;
  const Place place(options);
  Client first = place.client(), second = place.client();
  first.send("POST /v1/completions HTTP/1.1\r\nContent-Length: 1500\r\n\r\n");
  wait_until([&] {
    Client probe = place.client();
    return probe.ask("POST /v1/completions HTTP/1.1\r\nContent-Length: 1500\r\n\r\n").status == 503;
  });
  CHECK(place.serves_others());  // who asks for little
  first.leave();
  wait_until([&] {
    Client probe = place.client();
    return probe.ask(post("/v1/completions", "{\"prompt\": \"" + std::string(1500, 'x') + "\"}"))
               .status == 200;
  });
}

TEST_CASE("server: a body in chunks takes no more room than it has once it is there") {
  ServerOptions options = quick();
  options.body_bytes = 1000;
  options.all_body_bytes = 1500;
  const Place place(options, std::chrono::milliseconds(20));
  const std::string body =
      fmt::format(R"({{"prompt": "{}", "stream": true}})", std::string(100, 'x'));
  std::vector<Client> streams;  // each goes on while the next begins
  for (int i = 0; i < 4; ++i) {
    streams.push_back(place.client());
    streams.back().send(
        fmt::format("POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: "
                    "chunked\r\n\r\n{:x}\r\n{}\r\n0\r\n\r\n",
                    body.size(), body));
    CHECK(streams.back().read_until("\r\n\r\n").starts_with("HTTP/1.1 200"));
  }
}

TEST_CASE("server: who sends too slowly is closed, and the others are served meanwhile") {
  ServerOptions options = quick();
  options.idle_s = 0.3;
  options.body_s = 0.3;
  const Place place(options);
  Client silent = place.client(), header = place.client(), body = place.client();
  header.send("GET /health HT");
  body.send("POST /v1/completions HTTP/1.1\r\nContent-Length: 100\r\n\r\n{");
  std::thread drip([&] {
    for (int i = 0; i < 100 && header.send("T") && body.send(" "); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
  });
  CHECK(place.serves_others());
  drip.join();
  CHECK(silent.is_closed(10'000));
  CHECK(header.is_closed(10'000));
  CHECK(body.is_closed(10'000));
  wait_until([&] { return place.server.connections() == 0; });
}

TEST_CASE("server: a thousand idle connections hinder nobody") {
  const Place place;
  std::vector<Client> idle;
  for (int i = 0; i < 1000; ++i) idle.push_back(place.client());
  wait_until([&] { return place.server.connections() == 1000; });
  CHECK(place.serves_others());
  CHECK(idle[500].ask(get("/health")).status == 200);
  idle.clear();
  wait_until([&] { return place.server.connections() == 0; });
}

TEST_CASE("server: connections over the limit are told to come again") {
  ServerOptions options = quick();
  options.connections = 2;
  const Place place(options);
  Client first = place.client(), second = place.client();
  CHECK(first.ask(get("/health")).status == 200);
  CHECK(second.ask(get("/health")).status == 200);
  Client third = place.client();
  CHECK(third.answer().status == 503);
  third.leave();
  first.leave();
  wait_until([&] { return place.client().ask(get("/health")).status == 200; });
}

TEST_CASE("server: a client that leaves ends its answer, streamed or not") {
  const Place place(quick(), std::chrono::milliseconds(2));
  for (const bool stream : {true, false}) {
    {
      Client client = place.client();
      client.send(endless(stream));
      wait_until([&] { return place.generator.state().running == 1; });
      if (stream) client.read_until("data: ");
    }
    wait_until([&] { return place.generator.state().running == 0; });
    wait_until([&] { return place.server.connections() == 0; });
  }
  CHECK(place.generator.state().generated_tokens < 3000);
  CHECK(place.serves_others());
}

TEST_CASE("server: a client that does not read its stream is left, with bounded memory") {
  ServerOptions options = quick();
  options.unsent_bytes = 100'000;
  const Place place(options);
  Client client = place.client();
  std::string many;
  for (int i = 0; i < 40; ++i) many += endless(true);  // more than the system's buffers hold
  client.send(many);
  wait_until([&] { return place.server.connections() == 0; });
  wait_until([&] { return place.generator.state().running == 0; });
  CHECK(place.serves_others());
}

TEST_CASE("server: stopping lets what runs come to its end, and cuts off what does not") {
  {
    Place place(quick(), std::chrono::milliseconds(5));
    Client idle = place.client(), busy = place.client();
    CHECK(idle.ask(get("/health")).status == 200);
    busy.send(post("/v1/completions", R"({"prompt": "0123456789"})"));
    wait_until([&] { return place.generator.state().running == 1; });
    place.server.stop(30);
    CHECK(busy.answer().status == 200);
    CHECK(busy.is_closed(0));
    CHECK(idle.is_closed(0));
    CHECK_THROWS(place.client());
  }
  {
    Place place(quick(), std::chrono::milliseconds(5));
    Client client = place.client();
    client.send(endless(true));
    client.read_until("data: ");
    place.server.stop(0.1);
    CHECK(client.is_closed(0));
    wait_until([&] { return place.generator.state().running == 0; });
  }
}

TEST_CASE("server: a place where it cannot listen is told") {
  const Place place;
  ServerOptions options = quick();
  const auto message = [&] {
    try {
      Server other(options, [](const auto&) {});
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  options.port = place.server.port();
  CHECK(message().find("Address already in use") != std::string::npos);
  options.port = 0;
  options.host = "8.8.8.8";
  CHECK(message().find("give another address or --port") != std::string::npos);
  options.host = "no address";
  CHECK(message().find("give an address of this machine") != std::string::npos);
}

TEST_CASE("server: a handler's failure is a 500, and the server goes on") {
  const ServerOptions options = quick();
  Server server(options, [](const std::shared_ptr<Exchange>& exchange) {
    if (exchange->request().path == "/now") throw std::runtime_error("now");
    if (exchange->request().path == "/later")
      return exchange->run([] { throw std::runtime_error("later"); });
    exchange->answer({.body = "good"});
  });
  CHECK(Client(server.port()).ask(get("/now")).status == 500);
  CHECK(Client(server.port()).ask(get("/later")).status == 500);
  CHECK(Client(server.port()).ask(get("/")).body == "good");
}
