#include <doctest/doctest.h>

#include <limits>

#include "kernel_runs.h"

using namespace argosy;
using namespace argosy::test;

namespace {

/// Some sequences in scattered pages, all of their tokens as queries.
struct Paged {
  int64_t heads = 6, key_heads = 2, width = 24, page_size = 16;
  std::vector<int64_t> lengths = {37, 1, 16, 50};
  int64_t window = 0;
  double soft_cap = 0;

  int64_t tokens() const {
    int64_t total = 0;
    for (const int64_t length : lengths) total += length;
    return total;
  }
  Attributes attributes() const {
    return {{"causal", true}, {"scale", 0.3}, {"window", window}, {"soft_cap", soft_cap}};
  }
};

struct Operands {
  Array q, k, v;  ///< [tokens, heads, width]
  Arrays in;      ///< of paged_attention
};

Array random_array(Shape shape, uint64_t seed) {
  return random_operands({.inputs = {{DType::f32, std::move(shape)}}}, seed)[0];
}

/// Pages of sequence s are 13, 12, ... counted on over all sequences: in no order that would hide a
/// mistake.
Operands operands_of(const Paged& p) {
  const int64_t n = p.tokens(), pages = 14, longest = 5;
  Operands o = {random_array({n, p.heads, p.width}, 1),
                random_array({n, p.key_heads, p.width}, 2),
                random_array({n, p.key_heads, p.width}, 3),
                {}};
  Array positions({DType::i32, {n}}), rows(positions.type),
      table({DType::i32, {std::ssize(p.lengths), longest}});
  std::ranges::fill(table.as<int32_t>(), -1);
  size_t token = 0;
  int32_t page = 13;
  for (size_t s = 0; s < p.lengths.size(); ++s)
    for (int64_t t = 0; t < p.lengths[s]; ++t, ++token) {
      positions.as<int32_t>()[token] = static_cast<int32_t>(t);
      rows.as<int32_t>()[token] = static_cast<int32_t>(s);
      if (t % p.page_size == 0)
        table.as<int32_t>()[s * longest + static_cast<size_t>(t / p.page_size)] = page--;
    }
  Array keys({DType::f32, {pages, p.key_heads, p.width, p.page_size}}),
      values({DType::f32, {pages, p.key_heads, p.page_size, p.width}});
  // what nobody wrote must not be seen
  std::ranges::fill(keys.as(), std::numeric_limits<float>::quiet_NaN());
  std::ranges::fill(values.as(), std::numeric_limits<float>::quiet_NaN());
  const Arrays written =
      run_backend(ops::cache_write, {}, {keys, values, o.k, o.v, positions, rows, table});
  o.in = {o.q, written[0], written[1], positions, rows, table};
  return o;
}

/// Tokens [begin, end) of an array [tokens, ...] as a batch of one.
Array part(const Array& all, int64_t begin, int64_t end) {
  Shape shape = all.type.shape;
  const auto size = static_cast<size_t>(all.type.elements() / shape[0]);
  shape[0] = end - begin;
  shape.insert(shape.begin(), 1);
  Array result({DType::f32, shape});
  std::ranges::copy(all.as().subspan(static_cast<size_t>(begin) * size, result.as().size()),
                    result.as().begin());
  return result;
}

}  // namespace

TEST_CASE("paged_attention: each sequence gives what attention gives to it alone") {
  for (const Paged& p :
       {Paged{}, Paged{.heads = 3, .key_heads = 3, .width = 7}, Paged{.window = 19},
        Paged{.heads = 5, .key_heads = 1, .width = 64, .page_size = 32, .soft_cap = 2}}) {
    const Operands o = operands_of(p);
    on_every_instruction_set([&] {
      const Array got = run_backend(ops::paged_attention, p.attributes(), o.in)[0];
      int64_t begin = 0;
      for (const int64_t length : p.lengths) {
        const int64_t end = begin + length;
        const Arrays alone =
            run_reference(ops::attention, p.attributes(),
                          {part(o.q, begin, end), part(o.k, begin, end), part(o.v, begin, end)});
        CHECK(difference(part(got, begin, end), alone[0], 2e-5) == "");
        begin = end;
      }
    });
  }
}

TEST_CASE("paged_attention: a token's result is the same, bit for bit, alone and among others") {
  const Paged p;
  const Operands o = operands_of(p);
  const Array together = run_backend(ops::paged_attention, p.attributes(), o.in)[0];
  for (const int64_t token : {0, 20, 37, 40, 103}) {
    Arrays in = o.in;
    in[0] = part(o.q, token, token + 1);
    in[0].type.shape.erase(in[0].type.shape.begin());
    for (const size_t i : {3, 4}) {
      in[i] = Array({DType::i32, {1}});
      in[i].as<int32_t>()[0] = o.in[i].as<int32_t>()[static_cast<size_t>(token)];
    }
    Array alone = run_backend(ops::paged_attention, p.attributes(), in)[0];
    alone.type.shape.insert(alone.type.shape.begin(), 1);
    CHECK(difference(alone, part(together, token, token + 1), 0) == "");
  }
}

TEST_CASE("paged_attention: a negative position is no token: it writes nothing and gives 0") {
  const Paged p;
  Operands o = operands_of(p);
  std::ranges::fill(o.in[3].as<int32_t>(), -1);
  const Array nothing = run_backend(ops::paged_attention, p.attributes(), o.in)[0];
  for (const float number : nothing.as()) CHECK(number == 0);
  const Arrays written =
      run_backend(ops::cache_write, {}, {o.in[1], o.in[2], o.k, o.v, o.in[3], o.in[4], o.in[5]});
  CHECK(difference(written, {o.in[1], o.in[2]}, 0) == "");
}
