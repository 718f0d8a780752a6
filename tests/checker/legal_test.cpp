#include <catch2/catch.hpp>

#include "story.h"

using namespace vmproxy::checker;

namespace {

void clean(const Story& story) {
  const Report report = check(story.history);
  INFO(to_text(report));
  CHECK(report.verdict() == Verdict::clean);
  CHECK(report.anomalies.empty());
}

}  // namespace

TEST_CASE("a key begins absent and reads follow the writes") {
  clean(Story()
            .read("r", absent, 1, 2)
            .write("w", "a", 3, 4)
            .read("r", "a", 5, 6)
            .remove("w", 7, 8)
            .read("r", absent, 9, 10)
            .write("w", "a", 11, 12)
            .read("r", "a", 13, 14));
}

TEST_CASE("writes that overlap may take effect in either order") {
  for (const std::string_view last : {"a", "b"}) {
    clean(Story().write("v", "a", 1, 5).write("w", "b", 2, 6).read("r", last, 7, 8).read("s", last, 9, 10));
  }
}

TEST_CASE("a read that overlaps a write may find the state before or after") {
  clean(Story().write("w", "a", 1, 2).write("w", "b", 3, 10).read("r", "a", 4, 5).read("r", "b", 6, 7));
}

TEST_CASE("operations whose times touch may go either way") {
  clean(Story().write("w", "a", 1, 5).read("r", absent, 5, 6));
  clean(Story().write("w", "a", 1, 5).read("r", "a", 0, 1));
}

TEST_CASE("an unknown write may take effect late or never, but at one moment") {
  clean(Story().write("w", "a", 1, 2).unknown_write("b", 3).read("r", "a", 50, 51));
  clean(Story().write("w", "a", 1, 2).unknown_write("b", 3).read("r", "a", 50, 51).read("r", "b", 52, 53));
  clean(Story().unknown_write("b", 3).write("w", "a", 4, 5).read("r", "a", 6, 7).read("r", "b", 8, 9));
  clean(Story().write("w", "a", 1, 2).unknown_remove(3).read("r", "a", 4, 5).read("r", absent, 6, 7));
}

TEST_CASE("an unknown write takes effect before its bound") {
  clean(Story().unknown_write("b", 3, 8).read("r", absent, 4, 5).read("r", "b", 9, 10));
  clean(Story().unknown_write("b", 3, 8).read("r", absent, 9, 10));
}

TEST_CASE("a failed write leaves nothing") {
  clean(Story().write("w", "a", 1, 2).failed_write("b", 3, 4).read("r", "a", 5, 6));
}

TEST_CASE("a conditional delete may have matched, or not") {
  const auto story = [] { return std::move(Story().write("w", "a", 1, 2)); };
  clean(story().remove("w", 3, 4, Kind::remove_where).read("w", "a", 5, 6));
  clean(story().remove("w", 3, 4, Kind::remove_where).read("w", absent, 5, 6).scan({}, 7, 8));
}

TEST_CASE("a write if absent does nothing to a key that is there") {
  clean(Story().write_if_absent("w", "a", 1, 2).write_if_absent("w", "b", 3, 4).read("r", "a", 5, 6));
  clean(Story()
            .write_if_absent("w", "a", 1, 2)
            .remove("w", 3, 4)
            .write_if_absent("w", "b", 5, 6)
            .read("r", "b", 7, 8));
  // The delete went first.
  clean(Story().write("w", "a", 1, 2).unknown_remove(3).write_if_absent("w", "b", 5, 6).read("r", "b", 7, 8));
}

TEST_CASE("a read may be as stale as its record says") {
  const auto story = [] { return std::move(Story().write("w", "a", 1, 2).write("w", "b", 10, 11)); };
  clean(story().read("r", "a", 15, 16, 5));
  clean(story().read("r", "a", 500, 501, never));
  clean(story().read("r", "b", 12, 13).read("r", "a", 15, 16, 5));  // and does not count as going back
  clean(Story().write("w", "a", 1, 2).remove("w", 10, 11).read("r", "a", 15, 16, 5));
}

TEST_CASE("a promotion in the middle leaves one register") {
  clean(Story()
            .write_at("source", 1, "a", 1, 2)
            .read("r", "a", 3, 4)
            .unknown_write("lost", 5, never, 1)
            .write_at("target", 2, "b", 6, 7)
            .read("r", "b", 8, 9)
            .write_at("source", 3, "c", 10, 11)
            .read("r", "c", 12, 13)
            .final("source", "c")
            .final("target", "c"));
}

TEST_CASE("writes of two epochs may overlap in time") {
  clean(Story().write_at("source", 1, "a", 1, 10).write_at("target", 2, "b", 2, 9).read("r", "b", 11, 12));
}

TEST_CASE("a listing may or may not show what changes meanwhile") {
  for (const bool shows : {false, true}) {
    Story story;
    story.write("w", "a", 3, 6);
    shows ? story.scan({"k"}, 4, 5) : story.scan({}, 4, 5);
    story.remove("w", 7, 10);
    shows ? story.scan({"k"}, 8, 9) : story.scan({}, 8, 9);
    clean(story);
  }
}

TEST_CASE("a listing of a part promises nothing about the rest") {
  clean(Story().write("w", "a", 1, 2).scan({}, 3, 4, true));
}

TEST_CASE("a key that may have been deleted is not lost") {
  clean(Story().write("w", "a", 1, 2).unknown_remove(3).scan({}, 10, 11).scan({}, 12, 13));
  clean(Story().write("w", "a", 1, 2).unknown_remove(3).scan({"k"}, 10, 11).scan({}, 12, 13));
}

TEST_CASE("a key that an unknown write may have brought back is not resurrected") {
  clean(Story().unknown_write("b", 1).remove("w", 2, 3).read("r", "b", 4, 5).scan({"k"}, 6, 7));
}

TEST_CASE("a process may read what others wrote after its own write") {
  clean(Story().write("p", "a", 1, 2).write("q", "b", 3, 4).read("p", "b", 5, 6));
  // The same value twice: the second one is newer.
  clean(Story().write("q", "x", 1, 2).write("p", "a", 3, 4).write("q", "x", 5, 6).read("p", "x", 7, 8));
}

TEST_CASE("a process may see a value come, go and come again if it was written twice") {
  clean(Story()
            .write("w", "a", 1, 2)
            .read("r", "a", 3, 4)
            .write("w", "b", 5, 6)
            .read("r", "b", 7, 8)
            .write("w", "a", 9, 10)
            .read("r", "a", 11, 12));
}

TEST_CASE("one primary after the other") {
  clean(Story().executed("source", 1, 1, 2).executed("source", 1, 3, 9).executed("target", 2, 4, 5));
}

TEST_CASE("requests that were seen as they were sent, those in doubt or not") {
  using By = Request::By;
  clean(Story().request(By::sent, "a").request(By::sent, "a").request(By::seen, "a").request(By::seen, "a"));
  clean(Story().request(By::maybe_sent, "b").request(By::maybe_sent, "b").request(By::seen, "b"));
}

TEST_CASE("both sides end the same, in any state that the history leaves open") {
  for (const std::string_view end : {"a", "b"}) {
    clean(Story().write("w", "a", 1, 2).unknown_write("b", 3).final("source", end).final("target", end));
  }
  clean(Story().write("w", "a", 1, 2).remove("w", 3, 4).complete("source").complete("target"));
  clean(Story()
            .write("w", "a", 1, 2)
            .final("source", "a")
            .final("target", "a")
            .complete("source")
            .complete("target"));
}
