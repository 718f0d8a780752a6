#include "tests/journal/damage.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <future>
#include <memory>
#include <stdexcept>
#include <tuple>

#include "base/clock.h"
#include "journal/journal.h"
#include "store/rocksdb_store.h"
#include "tests/journal/on_disk.h"

namespace vmproxy::journal {
namespace fs = std::filesystem;
namespace {

constexpr Seq intents = 400;
constexpr Seq small_from = intents - 2;  // the last three records are short: every byte of them is cut

[[noreturn]] void give_up(const std::string& what) {
  throw std::runtime_error("filling a journal: " + what);
}

IntentHead head_of(Seq seq) {
  IntentHead head;
  head.seq = seq;
  head.epoch = 1;
  head.cls = IntentClass::image;
  head.operation = "collection.upsert";
  head.collection = {"tenant/database", "things"};
  head.keys = {{"", {std::to_string(seq)}}};
  return head;
}

bool same(const IntentHead& one, const IntentHead& other) {
  const auto all = [](const IntentHead& head) {
    return std::tie(head.seq, head.epoch, head.primary, head.cls, head.operation, head.collection, head.keys,
                    head.makes_keys, head.enumerated_from);
  };
  return all(one) == all(other);
}

std::string bytes_of(Seq seq) {
  return std::string(seq >= small_from ? 20 : 3000, static_cast<char>('a' + seq % 26));
}

// Appends, and waits until the last of them is durable. A gap that is marked in a callback is kept in the slot.
void append(OnDisk& disk, Seq first, Seq last, bool mark_gap = false) {
  // Callbacks may come after this has given up.
  const auto done = std::make_shared<std::promise<Result<Seq>>>();
  const auto told = std::make_shared<std::atomic<bool>>(false);
  for (Seq seq = first; seq <= last; ++seq) {
    disk.journal->append(head_of(seq), {"POST", "/x", {}, bytes_of(seq)},
                         [&disk, done, told, seq, last, mark_gap](Result<Seq> result) {
                           if (seq != last && result) return;
                           if (mark_gap && result) {
                             if (const auto marked = disk.journal->mark_gap("in the slot"); !marked)
                               result = marked.error();
                           }
                           if (!told->exchange(true)) done->set_value(result);
                         });
  }
  auto waited = done->get_future();
  if (waited.wait_for(std::chrono::seconds(60)) != std::future_status::ready) give_up("an append hangs");
  if (const auto result = waited.get(); !result) give_up(result.error().message);
}

fs::path newest_log(const fs::path& path) {
  fs::path newest;
  for (const auto& file : files_of(path)) {
    if (file.extension() == ".log") newest = file;  // they are in order
  }
  if (newest.empty()) give_up("there is no log");
  return newest;
}

std::string changed_bytes(const fs::path& file, uint64_t at, Damage damage, std::mt19937_64& random) {
  std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
  std::string content(damage == Damage::flip ? 1 : std::min<uint64_t>(4096, fs::file_size(file) - at), '\0');
  if (damage == Damage::flip) {
    bytes.seekg(static_cast<std::streamoff>(at));
    bytes.read(content.data(), 1);
    content[0] = static_cast<char>(content[0] ^ (1 << (random() % 8)));
  }
  bytes.seekp(static_cast<std::streamoff>(at));
  bytes.write(content.data(), static_cast<std::streamsize>(content.size()));
  return std::string(name_of(damage)) + " at " + std::to_string(at);
}

}  // namespace

Original fill_for_damage(const std::string& path, bool closed) {
  OnDisk disk;
  const auto open = [&] {
    if (const auto opened = disk.open(path); !opened) give_up(opened.error().message);
  };
  open();
  append(disk, 1, intents / 2);
  // Opening again flushes the log into tables and blobs.
  disk.journal.reset();
  disk.store.reset();
  open();
  append(disk, intents / 2 + 1, small_from - 1, true);
  Original original{path, newest_log(path), 0};
  original.log_bytes_before_last_three = fs::file_size(original.log);
  for (Seq seq = small_from; seq <= intents; ++seq) append(disk, seq, seq);
  if (closed) {
    if (const auto ended = disk.journal->close(); !ended) give_up(ended.error().message);
  }
  return original;
}

std::string judge_damage(const std::string& path) {
  OnDisk disk;
  if (const auto opened = disk.open(path); !opened) {
    return opened.error().message.empty() ? "an error without words" : "detected";
  }
  const auto report = disk.journal->verify();
  if (!report || !report->problems.empty()) return "detected";
  const auto gaps = disk.journal->gaps();
  if (!gaps) return "detected";
  // A gap that says that something, perhaps the end, is not known is no silence.
  for (const auto& gap : *gaps) {
    if (gap.what != "in the slot") return "detected";
  }
  if (disk.journal->next() != intents + 1)
    return "the end was lost in silence: next is " + std::to_string(disk.journal->next());
  if (gaps->empty()) return "a gap was lost in silence";
  for (Seq seq = 1; seq <= intents; ++seq) {
    const auto head = disk.journal->head(seq);
    const auto body = disk.journal->body(seq);
    if (!head || !body) return "detected";
    if (!same(*head, head_of(seq))) return "a changed head";
    if (body->method != "POST" || body->target != "/x" || !body->headers.all().empty() ||
        body->body != bytes_of(seq))
      return "a changed body";
  }
  return "exact";
}

const char* name_of(Damage damage) {
  switch (damage) {
    case Damage::flip: return "flip";
    case Damage::zeros: return "zeros";
    case Damage::truncation: return "truncation";
    case Damage::swap: return "swap";
    case Damage::tail: return "tail";
  }
  return "";
}

std::string do_damage(const Original& original, const fs::path& copy, Damage damage,
                      std::mt19937_64& random) {
  const auto files = files_of(original.path);
  const auto chosen = [&] { return fs::relative(files[random() % files.size()], original.path); };
  const fs::path name = chosen(), file = copy / name;
  const auto size = fs::file_size(file);
  const uint64_t at = random() % size;
  const std::string where = " of " + std::to_string(size) + " in " + name.string();
  if (damage == Damage::truncation) {
    fs::resize_file(file, at);
    return "truncation at " + std::to_string(at) + where;
  }
  if (damage == Damage::swap) {
    fs::path other = chosen();
    while (other == name) other = chosen();
    fs::rename(file, copy / "swapped");
    fs::rename(copy / other, file);
    fs::rename(copy / "swapped", copy / other);
    return "swap of " + name.string() + " and " + other.string();
  }
  return changed_bytes(file, at, damage, random) + where;
}

uint64_t tail_bytes(const Original& original) {
  return fs::file_size(original.log) - original.log_bytes_before_last_three;
}

std::string cut_tail(const Original& original, const fs::path& copy, uint64_t bytes) {
  const auto size = fs::file_size(original.log);
  fs::resize_file(copy / fs::relative(original.log, original.path), size - bytes);
  return "the last " + std::to_string(bytes) + " bytes of " + std::to_string(size) + " of the newest log";
}

std::vector<fs::path> files_of(const fs::path& path) {
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

TemporaryDirectory::TemporaryDirectory() {
  std::string name = (fs::temp_directory_path() / "vmproxy-journal-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make a directory");
  path = name;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

}  // namespace vmproxy::journal
