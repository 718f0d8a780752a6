// Each rule is broken on purpose, by a name. The records that a report gives must break the rule by themselves.
#include <catch2/catch.hpp>

#include <functional>
#include <set>

#include "lines_file.h"
#include "story.h"

using namespace vmproxy::checker;

namespace {

using By = Request::By;

struct Planted {
  std::string name;
  Rule rule;
  std::set<Rule> also;  // the other rules that the same fault breaks
  Story story;
};

void plant(std::vector<Planted>& all, std::string name, Rule rule, std::set<Rule> also, Story& story) {
  all.push_back({std::move(name), rule, std::move(also), std::move(story)});
}

void plant_values(std::vector<Planted>& all) {
  const auto lin = Rule::linearizability;
  plant(all, "a value that nobody wrote", lin, {}, Story().read("r", "x", 1, 2));
  plant(all, "an acknowledged write is not there", lin, {},
        Story().write("w", "a", 1, 2).read("r", absent, 3, 4));
  plant(all, "an acknowledged delete is not there", lin, {Rule::resurrection},
        Story().write("w", "a", 1, 2).remove("w", 3, 4).read("r", "a", 5, 6));
  plant(all, "an old value comes back", lin, {},
        Story().write("w", "a", 1, 2).write("w", "b", 3, 4).read("r", "a", 5, 6));
  plant(all, "two readers see two writes in opposite orders", lin, {},
        Story()
            .write("v", "a", 1, 10)
            .write("w", "b", 1, 10)
            .read("r", "a", 2, 3)
            .read("r", "b", 4, 5)
            .read("s", "b", 2, 3)
            .read("s", "a", 4, 5));
  plant(all, "a failed write is read", lin, {}, Story().failed_write("a", 1, 2).read("r", "a", 3, 4));
  plant(all, "a write is read before it was called", lin, {},
        Story().read("r", "a", 1, 2).write("w", "a", 3, 4));
  plant(all, "a finished write wins over a later one", lin, {},
        Story().write("v", "b", 3, 4).write("w", "c", 3, 10).read("r", "c", 5, 6).read("s", "b", 7, 8));
  plant(all, "an unknown write executes after its bound", lin, {},
        Story().unknown_write("a", 1, 5).read("r", absent, 10, 11).read("r", "a", 12, 13));
  plant(all, "an unknown write executes twice", lin, {},
        Story()
            .unknown_write("a", 1)
            .read("r", "a", 3, 4)
            .write("w", "b", 5, 6)
            .read("s", "b", 7, 8)
            .read("t", "a", 9, 10));
  plant(all, "a read is staler than its record allows", lin, {},
        Story().write("w", "a", 1, 2).write("w", "b", 10, 11).read("r", "a", 50, 51, 5));
  plant(all, "a write if absent replaced something", lin, {},
        Story().write("w", "a", 1, 2).write_if_absent("w", "b", 3, 4).read("r", "b", 5, 6));
  plant(all, "a conditional delete deletes what was written after it", lin, {},
        Story()
            .write("w", "a", 1, 2)
            .remove("w", 3, 4, Kind::remove_where)
            .write("w", "b", 5, 6)
            .read("r", absent, 7, 8));
  plant(all, "the writes of two epochs take effect backwards", Rule::epoch_order, {},
        Story()
            .write_at("target", 2, "b", 1, 20)
            .write_at("source", 1, "a", 1, 20)
            .read("r", "b", 5, 6)
            .read("s", "a", 7, 8));
  plant(all, "an unknown write to the old primary shows after the promotion", Rule::epoch_order, {},
        Story()
            .unknown_write("a", 1, never, 1)
            .write_at("target", 2, "b", 5, 6)
            .read("r", "b", 7, 8)
            .read("s", "a", 9, 10));
}

void plant_sets(std::vector<Planted>& all) {
  plant(all, "a delete is undone by a copy", Rule::resurrection, {Rule::linearizability},
        Story().write("w", "a", 1, 2).remove("w", 3, 4).read("r", "a", 50, 51));
  plant(all, "a late retry of a write brings a deleted key back", Rule::resurrection, {Rule::linearizability},
        Story().unknown_write("a", 1, 3).remove("w", 5, 6).read("r", "a", 7, 8));
  plant(all, "a listing shows a deleted key", Rule::resurrection, {},
        Story().write("w", "a", 1, 2).remove("w", 3, 4).scan({"k"}, 5, 6));
  plant(all, "a deleted key is there at the end", Rule::resurrection, {Rule::illegal_final},
        Story().write("w", "a", 1, 2).remove("w", 3, 4).final("source", "a").final("target", "a"));
  plant(all, "an element never shows", Rule::set_lost, {}, Story().write("w", "a", 1, 2).scan({}, 3, 4));
  plant(all, "an element shows and then no more", Rule::set_lost, {},
        Story().write("w", "a", 1, 2).scan({"k"}, 3, 4).scan({}, 5, 6).scan({}, 7, 8));
  plant(all, "an element is missing at the end", Rule::set_lost, {Rule::illegal_final},
        Story().write("w", "a", 1, 2).complete("source").complete("target"));
  plant(all, "an element shows late", Rule::set_stale, {},
        Story().write("w", "a", 1, 2).scan({}, 3, 4).scan({"k"}, 5, 6));
  plant(all, "a listing shows an element twice", Rule::set_duplicated, {},
        Story().write("w", "a", 1, 2).scan({"k", "k"}, 3, 4));
  plant(all, "a side has an element twice at the end", Rule::set_duplicated, {},
        Story().write("w", "a", 1, 2).final("source", "a").final("source", "a").final("target", "a"));
  plant(all, "a listing shows what nobody wrote", Rule::set_unexpected, {}, Story().scan({"k"}, 3, 4));
  plant(all, "a listing shows what is written later", Rule::set_unexpected, {},
        Story().scan({"k"}, 1, 2).write("w", "a", 3, 4));
}

void plant_sessions(std::vector<Planted>& all) {
  const auto lin = Rule::linearizability;
  plant(all, "a process misses its own write", Rule::read_your_writes, {lin},
        Story().write("w", "a", 1, 2).write("p", "b", 3, 4).read("p", "a", 5, 6));
  plant(all, "a process finds nothing after its own first write", Rule::read_your_writes, {lin},
        Story().write("p", "a", 1, 2).read("p", absent, 3, 4));
  plant(all, "a process misses its own delete", Rule::read_your_writes, {lin, Rule::resurrection},
        Story().write("p", "a", 1, 2).remove("p", 3, 4).read("p", "a", 5, 6));
  plant(all, "a process reads new, then old", Rule::monotone_reads, {lin},
        Story().write("w", "a", 1, 2).write("w", "b", 3, 4).read("r", "b", 5, 6).read("r", "a", 7, 8));
  plant(all, "a process reads a key, then nothing", Rule::monotone_reads, {lin},
        Story().write("w", "a", 1, 9).read("r", "a", 2, 3).read("r", absent, 4, 5));
  plant(all, "a process sees a value return", Rule::monotone_reads, {lin},
        Story()
            .write("v", "a", 1, 100)
            .write("w", "b", 1, 100)
            .read("r", "a", 2, 3)
            .read("r", "b", 4, 5)
            .read("r", "a", 6, 7));
}

void plant_sides(std::vector<Planted>& all) {
  plant(all, "both sides execute writes in one epoch", Rule::two_primaries, {},
        Story().executed("source", 1, 1, 2).executed("target", 1, 3, 4));
  plant(all, "acknowledged writes of one epoch come from both sides", Rule::two_primaries, {},
        Story().write_at("source", 1, "a", 1, 2).write_at("target", 1, "b", 3, 4));
  plant(all, "the old primary executes after the new one", Rule::epoch_backwards, {},
        Story().executed("source", 1, 1, 2).executed("target", 2, 3, 4).executed("source", 1, 5, 6));
  plant(all, "an epoch is lost by a crash and used again", Rule::epoch_backwards, {Rule::two_primaries},
        Story().executed("target", 2, 1, 2).executed("target", 3, 3, 4).executed("source", 2, 5, 6));
  plant(all, "a request gets lost on the way", Rule::request_not_seen, {},
        Story().request(By::sent, "POST /a").request(By::sent, "POST /a").request(By::seen, "POST /a"));
  plant(all, "a request arrives twice", Rule::request_not_sent, {},
        Story().request(By::sent, "POST /a").request(By::seen, "POST /a").request(By::seen, "POST /a"));
  plant(all, "a smuggled request", Rule::request_not_sent, {}, Story().request(By::seen, "DELETE /all"));
  plant(all, "one request turns into another", Rule::request_not_seen, {Rule::request_not_sent},
        Story().request(By::sent, "POST /a").request(By::seen, "POST /b"));
  plant(all, "one side lacks the last write", Rule::sides_differ, {Rule::illegal_final},
        Story().write("w", "a", 1, 2).write("w", "b", 3, 4).final("source", "b").final("target", "a"));
  plant(all, "the sides took different ends of an unknown write", Rule::sides_differ, {},
        Story().write("w", "a", 1, 2).unknown_write("b", 3).final("source", "b").final("target", "a"));
  plant(all, "one side has a key more", Rule::sides_differ, {Rule::illegal_final, Rule::resurrection},
        Story()
            .write("w", "a", 1, 2)
            .remove("w", 3, 4)
            .final("target", "a")
            .complete("source")
            .complete("target"));
  plant(all, "both sides end with an old value", Rule::illegal_final, {},
        Story().write("w", "a", 1, 2).write("w", "b", 3, 4).final("source", "a").final("target", "a"));
  plant(all, "both sides end with a foreign key", Rule::illegal_final, {},
        Story().final("source", "x").final("target", "x"));
}

std::vector<Planted> all_planted() {
  std::vector<Planted> all;
  plant_values(all);
  plant_sets(all);
  plant_sessions(all);
  plant_sides(all);
  return all;
}

std::string names_of(const std::set<Rule>& rules) {
  std::string out;
  for (const Rule rule : rules) out += std::string(name_of(rule)) + " ";
  return out;
}

}  // namespace

TEST_CASE("every planted anomaly is found by its rule, and by no rule that it does not break") {
  const auto all = all_planted();
  REQUIRE(all.size() >= 20);
  for (const Planted& planted : all) {
    INFO(planted.name);
    const Report report = check(planted.story.history);
    INFO(to_text(report));
    std::set<Rule> expected = planted.also, broken;
    expected.insert(planted.rule);
    for (size_t i = 0; i < rule_count; ++i) {
      if (report.rules[i].anomalies > 0) broken.insert(static_cast<Rule>(i));
    }
    CHECK(names_of(broken) == names_of(expected));
    CHECK(report.verdict() == Verdict::anomaly);
  }
}

TEST_CASE("every rule is planted") {
  std::set<Rule> planted;
  for (const Planted& one : all_planted()) planted.insert(one.rule);
  CHECK(planted.size() == rule_count);
}

TEST_CASE("the records that explain an anomaly break the same rule by themselves") {
  for (const Planted& planted : all_planted()) {
    const Report report = check(planted.story.history);
    for (const Anomaly& anomaly : report.anomalies) {
      std::vector<std::string> lines;
      for (const Shown& shown : anomaly.records) lines.push_back(shown.record);
      const Report again = check_lines(lines);
      INFO(planted.name << "\n" << to_text(again));
      CHECK(again.of(anomaly.rule).anomalies > 0);
    }
  }
}
