// A journal on RocksDB with files of every kind, what can be done to its files, and whether what was done shows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

namespace vmproxy::journal {

struct Original {
  std::filesystem::path path;
  // Of the newest log file: its last three records, each one commit, are behind this size.
  std::filesystem::path log;
  uint64_t log_bytes_before_last_three = 0;
};

// Fills an empty directory; throws std::runtime_error. closed: as after a clean end.
Original fill_for_damage(const std::string& path, bool closed);

// "exact": everything acknowledged is there; "detected": somebody said so; else what was lost in silence.
std::string judge_damage(const std::string& path);

enum class Damage { flip, zeros, truncation, swap, tail };
constexpr Damage random_damages[] = {Damage::flip, Damage::zeros, Damage::truncation, Damage::swap};
const char* name_of(Damage damage);

// Does it to `copy`, a copy of the original's directory; says what was done.
std::string do_damage(const Original& original, const std::filesystem::path& copy, Damage damage,
                      std::mt19937_64& random);
// Takes the last bytes of the newest log.
std::string cut_tail(const Original& original, const std::filesystem::path& copy, uint64_t bytes);
uint64_t tail_bytes(const Original& original);

std::vector<std::filesystem::path> files_of(const std::filesystem::path& path);

// A directory of its own that goes away.
struct TemporaryDirectory {
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  std::string path;
};

}  // namespace vmproxy::journal
