// The journal on RocksDB: killed, flipped, truncated.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "store/rocksdb_store.h"
#include "tests/journal/damage.h"
#include "tests/journal/fixture.h"
#include "tests/journal/on_disk.h"

using namespace vmproxy;
using namespace vmproxy::journal;
namespace fs = std::filesystem;

namespace {

struct Directory {
  Directory() {
    std::string name = (fs::temp_directory_path() / "vmproxy-journal-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) FAIL("cannot make a directory");
    path = name;
  }
  ~Directory() { fs::remove_all(path); }
  std::string path;
};

// Runs the child for `run_for`, kills it; returns the highest seq that it acknowledged, and how many.
std::pair<Seq, size_t> run_and_kill(const std::string& path, const std::string& body_bytes,
                                    Duration run_for) {
  int pipe_ends[2];
  REQUIRE(::pipe(pipe_ends) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(pipe_ends[1], 1);
    ::close(pipe_ends[0]);
    ::close(pipe_ends[1]);
    ::execl(VMPROXY_CRASH_CHILD, VMPROXY_CRASH_CHILD, path.c_str(), body_bytes.c_str(), nullptr);
    ::_exit(127);
  }
  ::close(pipe_ends[1]);
  Seq highest = 0;
  std::atomic<size_t> count = 0;
  std::thread reader([&] {
    Seq seq;
    while (::read(pipe_ends[0], &seq, 8) == 8) {
      highest = std::max(highest, seq);
      ++count;
    }
  });
  // From its first acknowledged append on: a busy machine may take longer than that to start it.
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (count == 0 && std::chrono::steady_clock::now() < patience)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(run_for);
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  reader.join();
  ::close(pipe_ends[0]);
  REQUIRE(WIFSIGNALED(status));
  return {highest, count.load()};
}

}  // namespace

TEST_CASE("no acknowledged append is lost in twenty rounds of kill -9") {
  Directory at;
  std::mt19937 random(7);
  size_t total = 0;
  for (int round = 0; round < 20; ++round) {
    const auto [highest, count] = run_and_kill(at.path, round % 2 == 0 ? "200" : "8000",
                                               std::chrono::milliseconds(150 + random() % 350));
    INFO("round " << round);
    total += count;
    OnDisk disk;
    auto opened = disk.open(at.path);
    REQUIRE(opened);
    CHECK_FALSE(disk.journal->stats().clean_start);
    REQUIRE(disk.journal->next() > highest);
    Seq last = disk.journal->stats().trimmed_below - 1;
    auto scanned = disk.journal->scan(1, [&](const IntentHead& head, const auto&) {
      last = head.seq;
      return true;
    });
    REQUIRE(scanned);
    CHECK(last + 1 == disk.journal->next());
    CHECK(disk.journal->gaps().value().empty());
    CHECK(disk.journal->verify().value().problems.empty());
    if (round % 3 == 0) REQUIRE(disk.journal->close());
  }
  CHECK(total > 2000);
}

TEST_CASE("a directory that another process holds is refused") {
  Directory at;
  OnDisk first;
  REQUIRE(first.open(at.path));
  // In one process RocksDB refuses the same way as across processes.
  auto second = store::open_rocksdb(at.path);
  REQUIRE_FALSE(second);
  CHECK(second.error().code == Code::precondition);
  CHECK(second.error().message.find("another process") != std::string::npos);
}

namespace {

// Marks a gap from one of the journal's callbacks, which puts it into the slot.
std::function<void(Result<Seq>)> marking_a_gap(Journal& journal, std::function<void(Result<Seq>)> then) {
  return [&journal, then = std::move(then)](Result<Seq> seq) {
    auto marked = journal.mark_gap("in the slot");
    then(marked ? seq : Result<Seq>(marked.error()));
  };
}

}  // namespace

// The program journal_damage does more of it.
TEST_CASE("flipped bits, zeroed pages, truncations and swapped files are detected or leave the data exact") {
  for (const bool closed : {false, true}) {
    TemporaryDirectory at;
    const Original original = fill_for_damage(at.path, closed);
    REQUIRE(files_of(original.path).size() >= 5);
    std::mt19937_64 random(closed ? 11 : 12);
    size_t detected = 0, exact = 0;
    for (size_t round = 0; round < 120; ++round) {
      TemporaryDirectory copy;
      fs::copy(original.path, copy.path, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
      const std::string done =
          do_damage(original, copy.path, random_damages[round % std::size(random_damages)], random);
      const std::string verdict = judge_damage(copy.path);
      INFO(done << " closed " << closed << ": " << verdict);
      CHECK((verdict == "exact" || verdict == "detected"));
      detected += verdict == "detected";
      exact += verdict == "exact";
    }
    CHECK(detected > 20);
    CHECK(exact > 5);
  }
}

TEST_CASE("a log that ends in the midst of its last three records is noticed") {
  TemporaryDirectory at;
  const Original original = fill_for_damage(at.path, false);
  REQUIRE(tail_bytes(original) > 60);
  for (uint64_t bytes = 1; bytes <= tail_bytes(original); bytes += 37) {
    TemporaryDirectory copy;
    fs::copy(original.path, copy.path, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    INFO(cut_tail(original, copy.path, bytes));
    CHECK(judge_damage(copy.path) == "detected");
  }
}

TEST_CASE("a lost log file is noticed") {
  TemporaryDirectory at;
  const Original original = fill_for_damage(at.path, false);
  REQUIRE(fs::remove(original.log));
  CHECK(judge_damage(at.path) == "detected");
}

TEST_CASE(
    "a slot that is missing, short or unreadable beside a journal is told as a gap; one whole half is enough") {
  Directory original;
  {
    OnDisk disk;
    REQUIRE(disk.open(original.path));
    Results<Seq> results;
    disk.journal->append(intent_of("a"), body_of("x"), marking_a_gap(*disk.journal, results.next()));
    REQUIRE(results.wait(1).at(0));
  }
  const auto gap_after = [&](const std::function<void(const fs::path& slot)>& damage) {
    Directory copy;
    fs::copy(original.path, copy.path, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    damage(copy.path + "/slot");
    std::string what;
    // Once a row, it stays, and nothing comes to it.
    for (int start = 0; start < 2; ++start) {
      OnDisk disk;
      auto opened = disk.open(copy.path);
      if (!opened) FAIL(opened.error().message);
      const auto gaps = disk.journal->gaps().value();
      REQUIRE(gaps.size() == 1);
      what = gaps[0].what;
    }
    return what;
  };
  const auto flip = [](const fs::path& file, const std::vector<std::streamoff>& places) {
    std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
    for (const auto place : places) {
      const auto byte = static_cast<char>(bytes.seekg(place).get() ^ 1);
      bytes.seekp(place).put(byte);
    }
  };
  const auto lost = Catch::Matchers::Contains("'slot'");
  CHECK(gap_after([](const fs::path&) {}) == "in the slot");
  CHECK(gap_after([&](const fs::path& slot) { flip(slot, {30}); }) == "in the slot");
  CHECK(gap_after([&](const fs::path& slot) { flip(slot, {4096 + 30}); }) == "in the slot");
  CHECK(gap_after([](const fs::path& slot) { fs::resize_file(slot, 5000); }) == "in the slot");
  CHECK_THAT(gap_after([&](const fs::path& slot) { flip(slot, {30, 4096 + 30}); }), lost);
  CHECK_THAT(gap_after([](const fs::path& slot) { fs::resize_file(slot, 100); }), lost);
  CHECK_THAT(gap_after([](const fs::path& slot) { fs::resize_file(slot, 0); }), lost);
  CHECK_THAT(gap_after([](const fs::path& slot) { fs::remove(slot); }), lost);
}

TEST_CASE("a lost file that vouches for the end of the log is told as a gap") {
  Directory at;
  {
    OnDisk disk;
    REQUIRE(disk.open(at.path));
    Results<Seq> results;
    disk.journal->append(intent_of("a"), body_of("x"), results.next());
    REQUIRE(results.wait(1).at(0));
  }
  fs::remove(at.path + "/synced");
  for (int start = 0; start < 2; ++start) {
    OnDisk disk;
    REQUIRE(disk.open(at.path));
    const auto gaps = disk.journal->gaps().value();
    REQUIRE(gaps.size() == 1);
    CHECK_THAT(gaps[0].what, Catch::Matchers::Contains("'synced'"));
  }
}

TEST_CASE("a hundred thousand intents are recovered well under a second") {
  Directory at;
  {
    OnDisk disk;
    REQUIRE(disk.open(at.path));
    Results<Seq> results;
    for (int i = 0; i < 100'000; ++i) {
      disk.journal->append(intent_of("key " + std::to_string(i)), body_of(std::string(1024, 'b')),
                           results.next());
      if (i % 10'000 == 9'999)
        REQUIRE(results.wait(static_cast<size_t>(i) + 1).size() == static_cast<size_t>(i) + 1);
    }
  }
  const auto before = std::chrono::steady_clock::now();
  OnDisk disk;
  REQUIRE(disk.open(at.path));
  const auto opened = std::chrono::steady_clock::now();
  size_t count = 0;
  REQUIRE(disk.journal->scan(1, [&](const IntentHead&, const auto&) {
    ++count;
    return true;
  }));
  const auto scanned = std::chrono::steady_clock::now();
  CHECK(count == 100'000);
  const double open_seconds = std::chrono::duration<double>(opened - before).count();
  const double scan_seconds = std::chrono::duration<double>(scanned - opened).count();
  WARN("opened in " << open_seconds << " s, heads scanned in " << scan_seconds << " s");
  CHECK(open_seconds < 2.0 * VMPROXY_SLOW_BUILD);
  CHECK(scan_seconds < 2.0 * VMPROXY_SLOW_BUILD);
}
