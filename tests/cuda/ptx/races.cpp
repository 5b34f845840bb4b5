#include <algorithm>
#include <array>
#include <memory>

#include "machine.h"

namespace ptx {
namespace {

constexpr uint32_t kWord = 4;
constexpr uint32_t kPage = 4096;

// An access that is remembered, or the same one of several lanes of a warp.
struct Touch {
  static constexpr int32_t kSeveral = -1;
  uint32_t block = 0, stretch = 0, warp = 0, warp_epoch = 0;  // stretch 0: none
  int32_t thread = 0;
  bool relaxed = false;

  bool same_but_for_the_lane(const Touch& other) const {
    return block == other.block && stretch == other.stretch && warp == other.warp && warp_epoch == other.warp_epoch &&
           relaxed == other.relaxed;
  }
};

bool has_heard(const Heard& heard, const Touch& before) {
  return before.block < heard.size() && before.stretch < heard[before.block];
}

bool is_ordered(const Touch& before, const Touch& now, const Toucher& by) {
  if (before.block == now.block) {
    return before.stretch != now.stretch || before.thread == now.thread ||
           (before.warp == now.warp && before.warp_epoch != now.warp_epoch);
  }
  if (has_heard(by.block.heard, before)) return true;
  const auto fences = by.block.threads.find(by.thread);
  return fences != by.block.threads.end() && has_heard(fences->second.heard, before);
}

// All writes of a place, or all reads, with which a later access may still race.
class Touches {
 public:
  void check(const char* what, const Touch& now, const Toucher& by) const {
    check(one_, what, now, by);
    if (!more_) return;
    for (const Touch& touch : *more_) check(touch, what, now, by);
  }

  // Whoever races with one before `now`, and in order with it, races with `now` as well, unless that is relaxed.
  void add(const Touch& now, const Toucher& by) {
    const auto is_replaced = [&](const Touch& touch) {
      return touch.stretch == 0 || (is_ordered(touch, now, by) && (touch.relaxed || !now.relaxed));
    };
    if (more_) std::erase_if(*more_, is_replaced);
    if (is_replaced(one_)) {
      one_ = now;
    } else if (!joins(one_, now) &&
               !(more_ && std::any_of(more_->begin(), more_->end(), [&](Touch& t) { return joins(t, now); }))) {
      if (!more_) more_ = std::make_unique<std::vector<Touch>>();
      more_->push_back(now);
    }
  }

  void clear() {
    one_ = {};
    more_.reset();
  }

 private:
  static void check(const Touch& before, const char* what, const Touch& now, const Toucher& by) {
    if (before.stretch == 0 || (before.relaxed && now.relaxed) || is_ordered(before, now, by)) return;
    const std::string who =
        before.thread == Touch::kSeveral ? "several threads" : "thread " + std::to_string(before.thread);
    throw Fault("a race in global memory with what " + who + " of block " + std::to_string(before.block) + what);
  }

  static bool joins(Touch& touch, const Touch& now) {
    if (!touch.same_but_for_the_lane(now)) return false;
    if (touch.thread != now.thread) touch.thread = Touch::kSeveral;
    return true;
  }

  Touch one_;
  std::unique_ptr<std::vector<Touch>> more_;
};

// A word, or a byte where a narrower access came.
struct Place {
  Touches written, read;

  void check(bool writes, const Touch& now, const Toucher& by) const {
    written.check(" wrote", now, by);
    if (writes) read.check(" read", now, by);
  }

  void remember(bool writes, const Touch& now, const Toucher& by) {
    if (!writes) return read.add(now, by);
    if (!now.relaxed) {  // all that came before is in order with it
      written.clear();
      read.clear();
    }
    written.add(now, by);
  }
};

struct Page {
  std::array<Place, kPage / kWord> words;
  std::unique_ptr<std::array<Place, kPage>> bytes;
};

struct Memory {
  std::unordered_map<uint64_t, Page> pages;
  std::unordered_map<uint64_t, Heard> published;  // at words that were written relaxed
};

Memory& memory() {
  static Memory all;
  return all;
}

// What is published at a word goes to who reads it. Whoever writes it without reading it puts his own in its place.
void pass_on(uint64_t address, bool reads, bool writes, bool relaxed, const Toucher& by) {
  auto& published = memory().published;
  const auto found = published.find(address);
  if (relaxed && reads && found != published.end()) join(by.block.threads[by.thread].read, found->second);
  if (!writes) return;
  const auto own = by.block.threads.find(by.thread);
  const bool publishes = relaxed && own != by.block.threads.end() && !own->second.published.empty();
  if (!reads && found != published.end()) published.erase(found);
  if (publishes) join(published[address], own->second.published);
}

}  // namespace

void join(Heard& into, const Heard& more) {
  if (into.size() < more.size()) into.resize(more.size());
  for (std::size_t block = 0; block < more.size(); ++block) into[block] = std::max(into[block], more[block]);
}

void BlockOrder::barrier() {
  for (const auto& [thread, fences] : threads) join(heard, fences.heard);
  ++stretch;
}

void BlockOrder::fence(uint32_t thread) {
  Fences& own = threads[thread];
  join(own.heard, own.read);
  own.published = published();
  join(own.published, own.heard);
}

Heard BlockOrder::published() const {
  Heard all = heard;
  if (all.size() <= number) all.resize(number + 1);
  all[number] = stretch;
  return all;
}

void begin_global_races() {
  memory().pages.clear();
  memory().published.clear();
}

void check_global_race(uint64_t address, std::size_t bytes, bool reads, bool writes, bool relaxed, Toucher by) {
  pass_on(address, reads, writes, relaxed, by);
  const Touch now{
      by.block.number, by.block.stretch, by.thread / kWarpSize, by.warp_epoch, static_cast<int32_t>(by.thread),
      relaxed};
  const bool narrow = bytes < kWord;
  for (uint64_t at = address; at < address + bytes; at += narrow ? 1 : kWord) {
    Page& page = memory().pages[at / kPage];
    Place& word = page.words[at % kPage / kWord];
    word.check(writes, now, by);
    if (narrow && !page.bytes) page.bytes = std::make_unique<std::array<Place, kPage>>();
    if (page.bytes) {
      for (uint32_t n = 0; n < (narrow ? 1 : kWord); ++n) (*page.bytes)[at % kPage + n].check(writes, now, by);
    }
    (narrow ? (*page.bytes)[at % kPage] : word).remember(writes, now, by);
  }
}

}  // namespace ptx
