#include "data/frame_cache.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "shared.h"

using argosy::data::FrameCache;

namespace {

bool put_in_memory(FrameCache& cache, uint64_t key, const std::vector<uint8_t>& frame) {
  uint8_t* memory = cache.reserve(key, frame.size());
  if (!memory) return false;
  std::copy(frame.begin(), frame.end(), memory);
  cache.publish(key);
  return true;
}

bool holds(const FrameCache& cache, uint64_t key, const std::vector<uint8_t>& frame) {
  std::vector<uint8_t> scratch(frame.size());
  const uint8_t* found = cache.find(key, scratch);
  return found && std::equal(frame.begin(), frame.end(), found);
}

}  // namespace

TEST_CASE("frame cache: memory is filled to the limit and to the byte") {
  FrameCache cache(250, {}, 0);
  CHECK(put_in_memory(cache, 1, std::vector<uint8_t>(100, 1)));
  CHECK(put_in_memory(cache, 2, std::vector<uint8_t>(100, 2)));
  CHECK_FALSE(put_in_memory(cache, 3, std::vector<uint8_t>(100, 3)));
  CHECK(put_in_memory(cache, 4, std::vector<uint8_t>(50, 4)));
  CHECK(cache.memory_used_bytes() == 250);
  CHECK(holds(cache, 1, std::vector<uint8_t>(100, 1)));
  CHECK(holds(cache, 4, std::vector<uint8_t>(50, 4)));
  CHECK_FALSE(cache.contains(3));
}

TEST_CASE("frame cache: a frame is found after publish, not before, and not after cancel") {
  FrameCache cache(1000, {}, 0);
  std::vector<uint8_t> scratch(10);
  CHECK(cache.reserve(5, 10));
  CHECK(cache.find(5, scratch) == nullptr);
  cache.cancel(5);
  CHECK(cache.memory_used_bytes() == 0);
  CHECK(put_in_memory(cache, 5, std::vector<uint8_t>(10, 9)));
  CHECK(cache.contains(5));
}

TEST_CASE("frame cache: what memory cannot hold goes to a file that has no name") {
  argosy::test::TemporaryFolder folder;
  FrameCache cache(0, folder.path() / "frames", 200);
  CHECK(std::filesystem::is_empty(folder.path()));
  for (uint8_t key = 0; key < 3; ++key) cache.write_to_file(key, std::vector<uint8_t>(100, key));
  CHECK(cache.file_used_bytes() == 200);
  CHECK(holds(cache, 0, std::vector<uint8_t>(100, 0)));
  CHECK(holds(cache, 1, std::vector<uint8_t>(100, 1)));
  CHECK_FALSE(cache.contains(2));
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("frame cache: a folder that does not exist is named") {
  CHECK_THROWS_WITH_AS(FrameCache(0, "/nowhere/at/all/frames", 100),
                       doctest::Contains("/nowhere/at/all"), std::runtime_error);
}

TEST_CASE("frame cache: four threads write and read at once") {
  argosy::test::TemporaryFolder folder;
  FrameCache cache(64 * 100, folder.path() / "frames", 64 * 100);
  std::vector<std::jthread> threads;
  std::atomic<int> wrong = 0;
  for (uint64_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (uint64_t i = 0; i < 50; ++i) {
        const std::vector<uint8_t> frame(64, static_cast<uint8_t>(t * 50 + i));
        if (!put_in_memory(cache, t * 50 + i, frame)) cache.write_to_file(t * 50 + i, frame);
        for (uint64_t key = 0; key < 200; key += 7)
          if (cache.contains(key) &&
              !holds(cache, key, std::vector<uint8_t>(64, static_cast<uint8_t>(key))))
            ++wrong;
      }
    });
  threads.clear();
  CHECK(wrong == 0);
  CHECK(cache.memory_used_bytes() + cache.file_used_bytes() == 200 * 64);
}
