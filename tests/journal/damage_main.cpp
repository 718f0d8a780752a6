// Damages journals and asks whether it shows: each is exact or says what is wrong, and none is silent.
//   journal_damage [--rounds N] [--seed S] [--first F]   flips, zeros, truncations, swapped files
//   journal_damage --every-byte N                        the newest log cut at every Nth byte of its last three records
// A round is its number and the seed: --first F --rounds 1 repeats one. The last line is the figure.
#include <cstdio>
#include <cstring>
#include <exception>
#include <iterator>
#include <map>

#include "tests/journal/damage.h"

using namespace vmproxy::journal;
namespace fs = std::filesystem;

namespace {

struct Tally {
  size_t done = 0, detected = 0, exact = 0;
};

class Rounds {
 public:
  template <class Act>
  void play(const Original& original, Damage damage, Act act) {
    TemporaryDirectory copy;
    fs::copy(original.path, copy.path, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    const std::string done = act(fs::path(copy.path));
    const std::string verdict = judge_damage(copy.path);
    Tally& tally = tallies_[name_of(damage)];
    ++tally.done;
    ++total_;
    tally.detected += verdict == "detected";
    tally.exact += verdict == "exact";
    if (verdict == "detected" || verdict == "exact") return;
    ++silent_;
    std::printf("SILENT: %s: %s\n", done.c_str(), verdict.c_str());
  }

  int end() const {
    for (const auto& [name, tally] : tallies_) {
      std::printf("%s %zu detected %zu exact %zu\n", name.c_str(), tally.done, tally.detected, tally.exact);
    }
    std::printf("%zu damaged journals, %zu silent\n", total_, silent_);
    return silent_ == 0 && total_ > 0 ? 0 : 1;
  }

 private:
  std::map<std::string, Tally> tallies_;
  size_t total_ = 0, silent_ = 0;
};

int run(size_t rounds, uint64_t seed, size_t first, uint64_t every_byte) {
  TemporaryDirectory open_at, closed_at;
  const Original left_open = fill_for_damage(open_at.path, false);
  Rounds played;
  if (every_byte > 0) {
    for (uint64_t bytes = 1; bytes <= tail_bytes(left_open); bytes += every_byte) {
      played.play(left_open, Damage::tail,
                  [&](const fs::path& copy) { return cut_tail(left_open, copy, bytes); });
    }
    return played.end();
  }
  const Original closed = fill_for_damage(closed_at.path, true);
  for (size_t round = first; round < first + rounds; ++round) {
    std::mt19937_64 random(seed * 1'000'003 + round);
    const Original& original = round / std::size(random_damages) % 2 == 0 ? left_open : closed;
    const Damage damage = random_damages[round % std::size(random_damages)];
    played.play(original, damage,
                [&](const fs::path& copy) { return do_damage(original, copy, damage, random); });
  }
  return played.end();
}

}  // namespace

int main(int argc, char** argv) {
  size_t rounds = 100, first = 0;
  uint64_t seed = 1, every_byte = 0;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--rounds") == 0) rounds = std::stoul(argv[i + 1]);
    if (std::strcmp(argv[i], "--seed") == 0) seed = std::stoull(argv[i + 1]);
    if (std::strcmp(argv[i], "--first") == 0) first = std::stoul(argv[i + 1]);
    if (std::strcmp(argv[i], "--every-byte") == 0) every_byte = std::stoull(argv[i + 1]);
  }
  try {
    return run(rounds, seed, first, every_byte);
  } catch (const std::exception& error) {
    std::printf("%s\n", error.what());
    return 2;
  }
}
