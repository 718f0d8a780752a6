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
#include "tests/journal/fixture.h"

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

struct OnDisk {
  SystemClock clock;
  Metrics metrics;
  std::unique_ptr<store::Store> store;
  std::unique_ptr<Journal> journal;

  Result<void> open(const std::string& path) {
    auto opened = store::open_rocksdb(path);
    if (!opened) return opened.error();
    store = std::move(*opened);
    auto started = Journal::open(*store, clock, metrics, {});
    if (!started) return started.error();
    journal = std::move(*started);
    return {};
  }
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

constexpr Seq damage_intents = 400;

// Marks a gap from one of the journal's callbacks, which puts it into the slot.
std::function<void(Result<Seq>)> marking_a_gap(Journal& journal, std::function<void(Result<Seq>)> then) {
  return [&journal, then = std::move(then)](Result<Seq> seq) {
    auto marked = journal.mark_gap("in the slot");
    then(marked ? seq : Result<Seq>(marked.error()));
  };
}

// A journal with files of every kind: a log, tables, blobs, a gap in the slot.
void fill(const std::string& path, bool closed) {
  OnDisk disk;
  REQUIRE(disk.open(path));
  Results<Seq> results;
  for (Seq seq = 1; seq <= damage_intents; ++seq) {
    disk.journal->append(
        intent_of(std::to_string(seq)), body_of(std::string(3000, static_cast<char>('a' + seq % 26))),
        seq == damage_intents ? marking_a_gap(*disk.journal, results.next()) : results.next());
    if (seq == damage_intents / 2) {
      // Reopening flushes the log into tables and blobs.
      REQUIRE(results.wait(seq).size() == seq);
      disk.journal.reset();
      disk.store.reset();
      REQUIRE(disk.open(path));
    }
  }
  const auto appended = results.wait(damage_intents);
  REQUIRE(appended.size() == damage_intents);
  REQUIRE(appended.back());
  if (closed) REQUIRE(disk.journal->close());
}

// "exact": everything acknowledged is there; "detected": somebody said so; else what was lost in silence.
std::string judge(const std::string& path) {
  OnDisk disk;
  if (auto opened = disk.open(path); !opened) {
    return opened.error().message.empty() ? "an error without words" : "detected";
  }
  const auto report = disk.journal->verify();
  if (!report || !report->problems.empty()) return "detected";
  if (disk.journal->next() != damage_intents + 1) return "the end was lost in silence";
  if (disk.journal->gaps().value().empty()) return "a gap was lost in silence";
  for (Seq seq = 1; seq <= damage_intents; ++seq) {
    auto head = disk.journal->head(seq);
    auto body = disk.journal->body(seq);
    if (!head || !body) return "detected";
    if (head->keys != intent_of(std::to_string(seq)).keys) return "a changed head";
    if (body->body != std::string(3000, static_cast<char>('a' + seq % 26))) return "a changed body";
  }
  return "exact";
}

std::vector<fs::path> files_of(const std::string& path) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(path)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_regular_file() && name.rfind("LOG", 0) != 0 && name != "LOCK" && entry.file_size() > 0) {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

TEST_CASE("flipped bits, zeroed pages and truncations in any file are detected or leave the data exact") {
  for (const bool closed : {false, true}) {
    Directory original;
    fill(original.path, closed);
    const auto files = files_of(original.path);
    REQUIRE(files.size() >= 5);
    std::mt19937_64 random(closed ? 11 : 12);
    size_t detected = 0, exact = 0;
    for (int round = 0; round < 120; ++round) {
      Directory copy;
      fs::copy(original.path, copy.path, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
      const auto& chosen = files[random() % files.size()];
      const fs::path file = fs::path(copy.path) / fs::relative(chosen, original.path);
      const auto size = fs::file_size(file);
      const uint64_t at = random() % size;
      const int kind = round % 3;
      if (kind == 2) {
        fs::resize_file(file, at);
      } else {
        std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
        std::string content(kind == 0 ? 1 : std::min<uint64_t>(4096, size - at), '\0');
        if (kind == 0) {
          bytes.seekg(static_cast<std::streamoff>(at));
          bytes.read(content.data(), 1);
          content[0] = static_cast<char>(content[0] ^ (1 << (random() % 8)));
        }
        bytes.seekp(static_cast<std::streamoff>(at));
        bytes.write(content.data(), static_cast<std::streamsize>(content.size()));
      }
      const std::string verdict = judge(copy.path);
      INFO((kind == 0   ? "flip"
            : kind == 1 ? "zeros"
                        : "truncation")
           << " at " << at << " of " << size << " in " << fs::relative(chosen, original.path) << " closed "
           << closed << ": " << verdict);
      CHECK((verdict == "exact" || verdict == "detected"));
      detected += verdict == "detected";
      exact += verdict == "exact";
    }
    CHECK(detected > 20);
    CHECK(exact > 5);
  }
}

TEST_CASE("a lost log file is noticed") {
  Directory at;
  fill(at.path, false);
  size_t removed = 0;
  for (const auto& file : files_of(at.path)) {
    if (file.extension() == ".log") removed += fs::remove(file);
  }
  REQUIRE(removed >= 1);
  CHECK(judge(at.path) == "detected");
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
