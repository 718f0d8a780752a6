// Runs inputs through the targets without libFuzzer: every kept input in the ordinary test runs, and the beginnings of the
// short ones, as a peer that breaks off leaves them.
//   fuzz_replay [--changed N] [--seed S] [--only TARGET] FOLDER...    FOLDER/TARGET/* are inputs
// --changed: N inputs more for each target, made of the kept ones by small changes, for builds that have no libFuzzer.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "target.h"

#define VMPROXY_FUZZ_TARGET(name) extern "C" int fuzz_##name(const uint8_t* data, size_t size);
#include "targets.inc"
#undef VMPROXY_FUZZ_TARGET

namespace {

struct Target {
  const char* name;
  int (*run)(const uint8_t*, size_t);
};
#define VMPROXY_FUZZ_TARGET(name) {#name, fuzz_##name},
constexpr Target targets[] = {
#include "targets.inc"
};

constexpr size_t beginnings_of_at_most = 256;  // bytes
constexpr size_t input_bytes_max = 1 << 16;

// What ran last, for a debugger and for the sanitizer's report: the file that a broken property leaves behind.
std::string running;

void run(const Target& target, const std::string& input) {
  running = input;
  // A block of its own size: a byte read behind it is found.
  std::vector<uint8_t> bytes(input.begin(), input.end());
  target.run(bytes.data(), bytes.size());
}

std::vector<std::string> inputs_of(const std::string& name, const std::vector<std::string>& folders) {
  std::vector<std::filesystem::path> files;
  for (const auto& folder : folders) {
    const auto path = std::filesystem::path(folder) / name;
    if (!std::filesystem::is_directory(path)) continue;
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  std::vector<std::string> inputs;
  for (const auto& file : files) {
    std::ifstream stream(file, std::ios::binary);
    inputs.emplace_back((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  }
  return inputs;
}

// One to four small changes: a byte, a run that goes, a run that comes twice, a part of another input.
std::string changed(std::string input, const std::vector<std::string>& others, std::mt19937_64& random) {
  const auto below = [&](size_t bound) {
    return bound == 0 ? size_t{0} : static_cast<size_t>(random() % bound);
  };
  for (size_t changes = 1 + below(4); changes > 0; --changes) {
    const size_t at = below(input.size() + 1), length = 1 + below(8);
    switch (below(6)) {
      case 0: input.insert(at, 1, static_cast<char>(below(256))); break;
      case 1: input.erase(at, length); break;
      case 2: input.insert(at, input.substr(at, length)); break;
      case 3:
        if (at < input.size()) input[at] = static_cast<char>(input[at] ^ 1 << below(8));
        break;
      case 4:
        if (at < input.size()) input[at] = "\0\xff\x7f\x80 \r\n\"'[]{}09,:;"[below(19)];
        break;
      default: {
        const auto& other = others[below(others.size())];
        const size_t from = below(other.size() + 1);
        input.insert(at, other.substr(from, 1 + below(32)));
      }
    }
  }
  input.resize(std::min(input.size(), input_bytes_max));
  return input;
}

// What broke a property is kept where the program runs.
extern "C" void keep_input(int) {
  if (std::FILE* file = std::fopen("fuzz_replay.input", "wb")) {
    std::fwrite(running.data(), 1, running.size(), file);
    std::fclose(file);
    std::fprintf(stderr, "the input is in fuzz_replay.input (%zu bytes)\n", running.size());
  }
  std::signal(SIGABRT, SIG_DFL);
  std::abort();
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGABRT, keep_input);
  size_t changes = 0, seed = 1, sum = 0;
  std::string only;
  std::vector<std::string> folders;
  for (int i = 1; i < argc; ++i) {
    const bool valued = i + 1 < argc;
    if (std::strcmp(argv[i], "--changed") == 0 && valued) {
      changes = std::stoul(argv[++i]);
    } else if (std::strcmp(argv[i], "--seed") == 0 && valued) {
      seed = std::stoul(argv[++i]);
    } else if (std::strcmp(argv[i], "--only") == 0 && valued) {
      only = argv[++i];
    } else {
      folders.emplace_back(argv[i]);
    }
  }
  size_t ran = 0;
  for (const auto& target : targets) {
    if (!only.empty() && only != target.name) continue;
    const auto begun = std::chrono::steady_clock::now();
    const auto inputs = inputs_of(target.name, folders);
    if (inputs.empty()) {
      std::fprintf(stderr, "%s has no input in the folders that were given\n", target.name);
      return 1;
    }
    size_t count = 0;
    for (const auto& input : inputs) {
      for (size_t end = input.size() <= beginnings_of_at_most ? 0 : input.size(); end <= input.size();
           ++end, ++count)
        run(target, input.substr(0, end));
    }
    std::mt19937_64 random(seed);
    for (size_t i = 0; i < changes; ++i, ++count)
      run(target, changed(inputs[i % inputs.size()], inputs, random));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    std::printf("%-20s %8zu inputs of %4zu files in %6.2f s\n", target.name, count, inputs.size(),
                took.count());
    std::fflush(stdout);
    sum += count;
    ++ran;
  }
  std::printf("%zu inputs, %zu targets, 0 crashes\n", sum, ran);
  return ran == 0 ? 1 : 0;
}
