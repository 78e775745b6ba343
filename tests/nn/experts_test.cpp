#include "nn/experts.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/random.h"
#include "base/threads.h"
#include "compile/differentiate.h"
#include "engine/session.h"

using namespace argosy;
using namespace argosy::nn;

namespace {

struct Sizes {
  int64_t tokens, width;
  ExpertOptions options;
};

/// The mixture as a program: loss = sum(output * weight) + balance loss, with all gradients.
Session session_of(const Sizes& s) {
  Graph graph;
  const Scope scope(graph, true);
  const Tensor x = graph.input("x", {DType::f32, {s.tokens, s.width}});
  const Mixture m = mixture_of_experts(scope / "moe", x, s.options);
  const Tensor loss =
      ops::reduce_sum(m.output * graph.input("weight", m.output.type())) + m.balance_loss;
  std::vector<Tensor> wanted = {x};
  std::vector<std::string> names = {"x"};
  for (const Variable& variable : graph.variables()) {
    wanted.push_back(graph.tensor(variable.value));
    names.push_back(variable.name);
  }
  const std::vector<Tensor> grads = gradients(loss, wanted);
  for (size_t i = 0; i < names.size(); ++i) graph.output("gradient/" + names[i], grads[i]);
  graph.output("loss", loss);
  graph.output("output", m.output);
  graph.output("balance_loss", m.balance_loss);
  graph.output("chosen", m.chosen);
  graph.output("dropped_share", m.dropped_share);
  Session session(std::move(graph), {.seed = 7});
  Random random(3);
  for (const char* name : {"x", "weight"})
    for (float& value : session.input(name).as()) value = random.uniform(-1, 1);
  return session;
}

/// What the plain meaning of the layer gives, in double: every expert on every token, those that do
/// not count times zero.
struct Plain {
  std::vector<double> output;
  double balance_loss = 0;
  std::vector<int32_t> chosen;
  int64_t dropped = 0;
};

Plain plain(const Session& session, const Sizes& s) {
  const ExpertOptions& o = s.options;
  const auto z = [](int64_t i) { return static_cast<size_t>(i); };
  const auto x = session.input("x").as(), router = session.state("moe/router/weight").as(),
             gate = session.state("moe/gate").as(), value = session.state("moe/value").as(),
             out = session.state("moe/output").as();
  Plain p;
  p.output.assign(z(s.tokens * s.width), 0);
  p.chosen.assign(z(o.experts), 0);
  std::vector<double> mean(z(o.experts), 0);
  for (int64_t t = 0; t < s.tokens; ++t) {
    std::vector<double> probability(z(o.experts));
    double total = 0;
    for (int64_t e = 0; e < o.experts; ++e) {
      double logit = 0;
      for (int64_t d = 0; d < s.width; ++d)
        logit += double{x[z(t * s.width + d)]} * router[z(e * s.width + d)];
      total += probability[z(e)] = std::exp(logit);
    }
    for (int64_t e = 0; e < o.experts; ++e) {
      probability[z(e)] /= total;
      mean[z(e)] += probability[z(e)] / static_cast<double>(s.tokens);
    }
    std::vector<int64_t> order(z(o.experts));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return probability[z(a)] > probability[z(b)]; });
    double chosen_sum = 0;
    for (int64_t i = 0; i < o.active; ++i) chosen_sum += probability[z(order[z(i)])];
    for (int64_t e = 0; e < o.experts; ++e) {
      const auto rank = std::find(order.begin(), order.end(), e) - order.begin();
      if (rank >= o.active) continue;
      if (o.capacity > 0 && p.chosen[z(e)] >= o.capacity) {
        ++p.chosen[z(e)];
        ++p.dropped;
        continue;
      }
      ++p.chosen[z(e)];
      const double factor = o.renormalise ? probability[z(e)] / chosen_sum : probability[z(e)];
      for (int64_t f = 0; f < o.hidden; ++f) {
        double g = 0, v = 0;
        for (int64_t d = 0; d < s.width; ++d) {
          g += double{x[z(t * s.width + d)]} * gate[z((e * s.width + d) * o.hidden + f)];
          v += double{x[z(t * s.width + d)]} * value[z((e * s.width + d) * o.hidden + f)];
        }
        const double h = g / 2 * (1 + std::erf(g / std::sqrt(2.0))) * v;  // gelu
        for (int64_t d = 0; d < s.width; ++d)
          p.output[z(t * s.width + d)] += factor * h * out[z((e * o.hidden + f) * s.width + d)];
      }
    }
  }
  for (int64_t e = 0; e < o.experts; ++e)
    p.balance_loss += mean[z(e)] * p.chosen[z(e)] / static_cast<double>(s.tokens * o.active);
  p.balance_loss *= static_cast<double>(o.experts) * o.balance_loss;
  return p;
}

double largest_difference(std::span<const float> got, const std::vector<double>& wanted) {
  REQUIRE(got.size() == wanted.size());
  double worst = 0;
  for (size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::fabs(got[i] - wanted[i]));
  return worst;
}

const std::vector<Sizes>& cases() {
  static const std::vector<Sizes> all = {
      {20, 6, {.experts = 4, .active = 2, .hidden = 9}},
      {20, 6, {.experts = 4, .active = 2, .hidden = 9, .renormalise = true}},
      {7, 5, {.experts = 1, .active = 1, .hidden = 3}},
      {3, 4, {.experts = 16, .active = 2, .hidden = 5}},  // more experts than tokens
      {9, 4, {.experts = 3, .active = 3, .hidden = 5}},   // all of them
      {20, 6, {.experts = 4, .active = 2, .hidden = 9, .capacity = 5, .balance_loss = 0.1f}},
      {20, 6, {.experts = 4, .active = 1, .hidden = 9, .capacity = 1}},
      {20, 6, {.experts = 4, .active = 2, .hidden = 9, .capacity = 100}},
  };
  return all;
}

std::string describe(const Sizes& s) {
  return fmt::format("{} tokens, {} of {} experts, capacity {}", s.tokens, s.options.active,
                     s.options.experts, s.options.capacity);
}

}  // namespace

TEST_CASE("experts: the mixture is what all experts on all tokens give, masked") {
  for (const Sizes& s : cases()) {
    INFO(describe(s));
    Session session = session_of(s);
    session.run();
    const Plain wanted = plain(session, s);
    CHECK(largest_difference(session.output("output").as(), wanted.output) < 1e-5);
    CHECK(session.output("balance_loss").as()[0] ==
          doctest::Approx(wanted.balance_loss).epsilon(1e-5));
    CHECK(std::ranges::equal(session.output("chosen").as<int32_t>(), wanted.chosen));
    CHECK(session.output("dropped_share").as()[0] ==
          doctest::Approx(static_cast<double>(wanted.dropped) /
                          static_cast<double>(s.tokens * s.options.active)));
  }
}

TEST_CASE("experts: gradients agree with finite differences") {
  for (const Sizes& s : cases()) {
    INFO(describe(s));
    Session session = session_of(s);
    session.run();
    std::vector<TensorView> operands = session.state();
    operands.push_back(session.input("x"));
    std::vector<std::vector<float>> rules;
    for (const TensorView& operand : operands) {
      const auto rule = session.output("gradient/" + operand.name).as();
      rules.emplace_back(rule.begin(), rule.end());
    }
    const std::vector<int32_t> chosen = plain(session, s).chosen;
    Random random(5);
    int checked = 0;
    for (size_t k = 0; k < operands.size(); ++k)
      for (int sample = 0; sample < 40; ++sample) {
        float& element = operands[k].as()[random.below(operands[k].as().size())];
        const auto i = static_cast<size_t>(&element - operands[k].as().data());
        const float kept = element, step = 5e-3f;
        // in double, by the plain meaning; a step over which the choices change is left out
        bool same = true;
        const auto loss = [&](float value) {
          element = value;
          const Plain p = plain(session, s);
          element = kept;
          same &= p.chosen == chosen;
          double total = p.balance_loss;
          for (size_t j = 0; j < p.output.size(); ++j)
            total += p.output[j] * session.input("weight").as()[j];
          return total;
        };
        const float above = kept + step, below = kept - step;
        const double slope = (loss(above) - loss(below)) / (double{above} - below);
        if (!same) continue;
        INFO(fmt::format("{} element {}", operands[k].name, i));
        // equal counts do not prove equal choices: two tokens may have changed places
        if (std::fabs(slope) < 50)
          CHECK(std::fabs(rules[k][i] - slope) < 2e-3 * std::max(1.0, std::fabs(slope)));
        ++checked;
      }
    CHECK(checked > 100);
  }
}

TEST_CASE("experts: an expert that is used more than the others makes the balance loss larger") {
  const Sizes s = {16, 4, {.experts = 4, .active = 1, .hidden = 3}};
  Session session = session_of(s);
  const auto router = session.state("moe/router/weight").as();
  std::ranges::fill(session.input("x").as(), 0.0f);
  for (size_t token = 0; token < 16; ++token) session.input("x").as()[token * 4 + token % 4] = 1;
  std::ranges::fill(router, 0.0f);
  for (size_t expert = 0; expert < 4; ++expert) router[expert * 4 + expert] = 3;
  session.run();
  CHECK(session.output("balance_loss").as()[0] == doctest::Approx(1).epsilon(1e-6));
  for (size_t column = 0; column < 4; ++column) router[column] = 9;
  session.run();
  CHECK(session.output("balance_loss").as()[0] > 3.9);
}

TEST_CASE("experts: the same bits at 1, 2 and 3 threads") {
  const int threads = thread_count();
  // few inputs, so that oneDNN, which multiplies for the router, has no sum to cut by threads
  const Sizes s = {600, 8, {.experts = 8, .active = 2, .hidden = 70, .capacity = 160}};
  std::vector<std::vector<float>> outputs;
  for (const int count : {1, 2, 3}) {
    set_thread_count(count);
    Session session = session_of(s);
    session.run();
    const auto output = session.output("output").as();
    outputs.emplace_back(output.begin(), output.end());
    const auto grads = session.output("gradient/moe/output").as();
    outputs.back().insert(outputs.back().end(), grads.begin(), grads.end());
  }
  CHECK(outputs[0] == outputs[1]);
  CHECK(outputs[0] == outputs[2]);
  set_thread_count(threads);
}
