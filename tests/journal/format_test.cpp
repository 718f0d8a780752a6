#include <fstream>

#include "journal/layout.h"
#include "tests/journal/fixture.h"

using namespace vmproxy;
using namespace vmproxy::journal;

namespace {

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

// One entry a line: key and value in hex. Made by tests/journal/make_fixture.cpp.
void load(store::MemoryStore& store, const std::string& path) {
  std::ifstream file(path);
  REQUIRE(file);
  std::string key, value;
  while (file >> key >> value) store.overwrite(from_hex(key), from_hex(value));
}

}  // namespace

TEST_CASE("a journal of format 1 opens and everything in it is read") {
  Fixture at;
  load(*at.store, std::string(VMPROXY_TEST_DATA) + "/format_1.txt");
  at.open();
  CHECK_FALSE(at.journal->stats().clean_start);
  CHECK(at.journal->next() == 8);
  CHECK(at.journal->stats().trimmed_below == 2);
  CHECK(at.seqs() == std::vector<Seq>{2, 3, 4, 6, 7});  // 5 is a hole
  CHECK(at.journal->head(3)->keys == intent_of("3").keys);
  CHECK(at.journal->head(3)->collection.name == "things");
  CHECK(at.journal->body(3)->body == "body 3");
  CHECK(at.journal->body(2).error().code == Code::not_found);  // bodies below 3 were dropped
  const auto outcome = at.journal->outcome_of(4).value();
  REQUIRE(outcome);
  CHECK(outcome->whole == model::Outcome::applied);
  REQUIRE(outcome->images.size() == 2);
  CHECK(outcome->images[0].record->document == "text");
  CHECK(at.journal->row("x", "state").value() == "mirroring");
  CHECK(at.journal->gaps().value().size() == 1);
  const auto report = at.journal->verify().value();
  CHECK(report.problems.empty());
  CHECK(report.intents == 5);
  CHECK(at.append("more") == 8);
}

TEST_CASE("an unknown format of the journal is refused with its number and changes nothing") {
  Fixture at;
  at.open();
  at.append("a");
  REQUIRE(at.journal->close());
  at.journal.reset();
  const std::string key = meta_key("format");
  at.store->overwrite(key, encode_bytes(encode_number(9)).finish(key));
  const auto before = at.store->dump();
  auto opened = Journal::open(*at.store, at.clock, at.metrics, {});
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == Code::unsupported);
  CHECK(opened.error().message.find("format 9") != std::string::npos);
  CHECK(at.store->dump() == before);
}

TEST_CASE("an unknown format of a single value is refused with its number") {
  Fixture at;
  at.open();
  at.append("a");
  at.crash();
  const std::string key = seq_key(Kind::intent, 1);
  at.store->overwrite(key, SealedValue("\x07whatever").finish(key));
  auto opened = Journal::open(*at.store, at.clock, at.metrics, {});
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == Code::unsupported);
  CHECK(opened.error().message.find("format 7") != std::string::npos);
}

TEST_CASE("a store with foreign data is not taken for an empty journal") {
  Fixture at;
  at.store->overwrite("r something", "else");
  auto opened = Journal::open(*at.store, at.clock, at.metrics, {});
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == Code::corrupt);
}

TEST_CASE("missing intents are noticed when the journal is opened") {
  Fixture at;
  at.open();
  for (int i = 0; i < 5; ++i) at.append("k");
  at.crash();
  store::Batch batch;
  batch.erase(seq_key(Kind::intent, 3));
  at.store->commit(batch, store::Sync::yes).value();
  auto opened = Journal::open(*at.store, at.clock, at.metrics, {});
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == Code::corrupt);
  CHECK(opened.error().message.find("intents 3 to 3") != std::string::npos);
}

TEST_CASE("every single bit flipped in any value is detected where it is read, or by verify") {
  Fixture at;
  at.open();
  at.append("a", "first");
  at.append("b", "second");
  at.journal->outcome(1, {model::Outcome::applied, {}, {}});
  REQUIRE(at.journal->commit_rows({{"x", "state", "ready"}}));
  REQUIRE(at.journal->mark_gap("g"));
  at.crash();
  size_t flips = 0;
  for (const auto& [key, value] : at.store->dump()) {
    for (size_t bit = 0; bit < value.size() * 8; ++bit) {
      std::string damaged = value;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
      const auto payload = unseal(key, damaged);
      REQUIRE_FALSE(payload);
      ++flips;
    }
    // A value under another value's key.
    REQUIRE_FALSE(unseal(key + "x", value));
  }
  CHECK(flips > 1000);
}

TEST_CASE("verify names what is damaged") {
  Fixture at;
  at.open();
  for (int i = 0; i < 4; ++i) at.append("k");
  at.journal->outcome(2, {model::Outcome::applied, {}, {}});
  REQUIRE(at.journal->commit_rows({{"x", "state", "ready"}}));
  const auto damage = [&](const std::string& key) {
    auto value = *at.store->get(key).value();
    value[value.size() / 2] ^= 1;
    at.store->overwrite(key, value);
  };
  damage(seq_key(Kind::intent, 1));
  damage(seq_key(Kind::body, 2));
  damage(seq_key(Kind::outcome, 2));
  damage(row_key("x", "state"));
  store::Batch batch;
  batch.erase(seq_key(Kind::intent, 4));
  batch.erase(seq_key(Kind::body, 3));
  at.store->commit(batch, store::Sync::yes).value();
  const auto report = at.journal->verify().value();
  const auto names = [&](const std::string& what) {
    for (const auto& problem : report.problems) {
      if (problem.find(what) != std::string::npos) return true;
    }
    return false;
  };
  CHECK(names("intent 1 is damaged"));
  CHECK(names("body of intent 2 is damaged"));
  CHECK(names("outcome of intent 2 is damaged"));
  CHECK(names("table 'x', key state"));
  CHECK(names("intents 4 to 4 are missing"));
  CHECK(names("have no body"));
  CHECK(names("the body of intent 4 has no intent"));
}
