#include <doctest/doctest.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "program.h"

using namespace argosy;
using test::Ended;
using test::run_program;

TEST_CASE("command line: a misspelt command names the nearest") {
  const Ended said = run_program("docter");
  CHECK(said.code == 2);
  CHECK(said.err ==
        "error: argosy: there is no command docter; did you mean doctor? see argosy "
        "--help\n");
}

TEST_CASE("command line: a misspelt flag names the nearest, also where another flag is missing") {
  CHECK(run_program("ingest somewhere --too out").err ==
        "error: argosy ingest: there is no flag --too; did you mean --to? see argosy "
        "ingest --help\n");
  CHECK(run_program("--vrebose doctor").err.find("did you mean --verbose?") != std::string::npos);
  CHECK(run_program("data inof out")
            .err.find("argosy data: there is no command inof; did you mean info?") !=
        std::string::npos);
}

TEST_CASE("command line: what is like nothing gets no guess") {
  const Ended said = run_program("doctor --banana");
  CHECK(said.code == 2);
  CHECK(said.err == "error: argosy doctor: there is no flag --banana; see argosy doctor --help\n");
}

TEST_CASE("command line: a flag that is missing, a bad value and an argument too many") {
  CHECK(run_program("ingest somewhere").err ==
        "error: argosy ingest: --to is required; see argosy ingest --help\n");
  CHECK(run_program("doctor --threads none").code == 2);
  CHECK(run_program("doctor more").err ==
        "error: argosy doctor: \"more\" is one argument too many; see argosy doctor "
        "--help\n");
}

TEST_CASE("command line: nothing asked for gives the help on standard error and code 2") {
  const Ended said = run_program("");
  CHECK(said.code == 2);
  CHECK(said.out.empty());
  CHECK(said.err.find("doctor") != std::string::npos);
  CHECK(run_program("data").err.find("argosy data check") != std::string::npos);
}

TEST_CASE("command line: the help of every command opens with an example of it") {
  for (const char* command : {"doctor", "ingest", "data", "train", "eval"}) {
    CAPTURE(command);
    const Ended said = run_program(fmt::format("{} --help", command));
    CHECK(said.code == 0);
    CHECK(said.err.empty());
    const size_t example = said.out.find(fmt::format("  argosy {} ", command));
    const size_t doctor = said.out.find(fmt::format("  argosy {}\n", command));
    CHECK(std::min(example, doctor) < said.out.find("Usage:"));
  }
}

TEST_CASE("command line: --json - leaves nothing but JSON on standard output") {
  const Ended said = run_program("doctor --json -");
  CHECK(said.code == 0);
  CHECK(nlohmann::json::parse(said.out)["libraries"].contains("oneDNN"));
}

TEST_CASE("command line: output that cannot be written ends with code 3") {
  CHECK(WEXITSTATUS(std::system(
            fmt::format("{} doctor > /dev/full 2> /dev/null", test::argosy_program()).c_str())) ==
        3);
}
