#include "races.h"

#include <algorithm>
#include <array>
#include <memory>

#include "module.h"

namespace ptx {
namespace {

constexpr uint32_t kWarpSize = 32;
constexpr uint32_t kWord = 4;
constexpr uint32_t kPage = 4096;

// An access that is remembered.
struct Touch {
  static constexpr int32_t kSeveral = -1;
  uint32_t block = 0, stretch = 0, warp_epoch = 0;  // stretch 0: none yet
  int32_t thread = 0, warp = 0;
  bool relaxed = false;
};

// Of a word, or of a byte where a narrower access came.
struct Cell {
  Touch written;
  Touch read;
};

struct Page {
  std::array<Cell, kPage / kWord> words;
  std::unique_ptr<std::array<Cell, kPage>> bytes;
};

struct Memory {
  std::unordered_map<uint64_t, Page> pages;
  std::unordered_map<const Cell*, std::vector<Touch>> other_readers;  // of other blocks than the cell's
  std::unordered_map<uint64_t, Heard> published;                      // at words that are written relaxed
};

Memory& memory() {
  static Memory all;
  return all;
}

void join(Heard& into, const Heard& more) {
  if (into.size() < more.size()) into.resize(more.size());
  for (std::size_t block = 0; block < more.size(); ++block) into[block] = std::max(into[block], more[block]);
}

bool has_heard(const Heard& heard, const Touch& before) {
  return before.block < heard.size() && before.stretch < heard[before.block];
}

bool is_ordered(const Touch& before, const Touch& now, const Toucher& by) {
  if (before.stretch == 0 || (before.relaxed && now.relaxed)) return true;
  if (before.block == now.block) {
    return before.stretch != now.stretch || before.thread == now.thread ||
           (before.warp == now.warp && before.warp_epoch != now.warp_epoch);
  }
  if (has_heard(by.block.heard, before)) return true;
  const auto fences = by.block.threads.find(by.thread);
  return fences != by.block.threads.end() && has_heard(fences->second.heard, before);
}

void check(const Touch& before, const char* what, const Touch& now, const Toucher& by) {
  if (is_ordered(before, now, by)) return;
  const std::string thread =
      before.thread == Touch::kSeveral ? "several threads" : "thread " + std::to_string(before.thread);
  throw Fault("a race in global memory with what " + thread + " of block " + std::to_string(before.block) + what);
}

void remember_reader(Cell& cell, const Touch& now) {
  Touch& read = cell.read;
  if (read.stretch != 0 && read.block != now.block) {
    auto& others = memory().other_readers[&cell];
    const auto same = std::find_if(others.begin(), others.end(), [&](const Touch& t) { return t.block == read.block; });
    if (same == others.end()) {
      others.push_back(read);
    } else {
      *same = read;
    }
    read = now;
  } else if (read.stretch == now.stretch && read.thread != now.thread) {  // whoever writes comes behind both
    read.thread = Touch::kSeveral;
    if (read.warp != now.warp) read.warp = Touch::kSeveral;
    read.warp_epoch = now.warp_epoch;
    read.relaxed &= now.relaxed;
  } else {
    read = now;
  }
}

void check_against(const Cell& cell, bool writes, const Touch& now, const Toucher& by) {
  check(cell.written, " wrote", now, by);
  if (!writes) return;
  check(cell.read, " read", now, by);
  const auto others = memory().other_readers.find(&cell);
  if (others == memory().other_readers.end()) return;
  for (const Touch& read : others->second) check(read, " read", now, by);
}

void remember(Cell& cell, bool reads, bool writes, const Touch& now) {
  if (writes) {
    cell.written = now;
    cell.read = {};
    memory().other_readers.erase(&cell);
  }
  if (reads) remember_reader(cell, now);
}

}  // namespace

void BlockOrder::barrier() {
  for (const auto& [thread, fences] : threads) join(heard, fences.heard);
  ++stretch;
}

void BlockOrder::fence(uint32_t thread) {
  Fences& own = threads[thread];
  join(own.heard, own.read);
  own.published = heard;
  join(own.published, own.heard);
  if (own.published.size() <= number) own.published.resize(number + 1);
  own.published[number] = stretch;
}

void begin_global_races() {
  memory().pages.clear();
  memory().other_readers.clear();
  memory().published.clear();
}

void check_global_race(uint64_t address, std::size_t bytes, bool reads, bool writes, bool relaxed, Toucher by) {
  BlockOrder& block = by.block;
  if (relaxed) {
    const auto published = memory().published.find(address);
    if (reads && published != memory().published.end()) join(block.threads[by.thread].read, published->second);
    const auto own = block.threads.find(by.thread);
    if (writes && own != block.threads.end()) join(memory().published[address], own->second.published);
  }
  const auto thread = static_cast<int32_t>(by.thread), warp = static_cast<int32_t>(by.thread / kWarpSize);
  const Touch now{block.number, block.stretch, by.warp_epoch, thread, warp, relaxed};
  const bool narrow = bytes < kWord;
  for (uint64_t at = address; at < address + bytes; at += narrow ? 1 : kWord) {
    Page& page = memory().pages[at / kPage];
    Cell& word = page.words[at % kPage / kWord];
    check_against(word, writes, now, by);
    if (narrow && !page.bytes) page.bytes = std::make_unique<std::array<Cell, kPage>>();
    if (page.bytes) {
      for (uint32_t n = 0; n < (narrow ? 1 : kWord); ++n) check_against((*page.bytes)[at % kPage + n], writes, now, by);
    }
    remember(narrow ? (*page.bytes)[at % kPage] : word, reads, writes, now);
  }
}

}  // namespace ptx
