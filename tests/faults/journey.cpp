// The process that tests/faults/crash_test.cpp kills: journey DIRECTORY NAME. One journey from wherever the last process in that
// directory left it to its end, with the fault points that $VMPROXY_FAULTS arms, and for a moment those of $VMPROXY_FAULTS_MOMENT.
// Exit code 0: all of it is done and what must be true is true; exit_start_again: the disk let it not begin, or not close its journal. At the end DIRECTORY/hits says
// how often each point was passed.
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "base/fault.h"
#include "base/log.h"
#include "tests/faults/journeys.h"
#include "tests/faults/lives.h"

using namespace vmproxy;
using namespace vmproxy::support;

namespace {

constexpr unsigned seconds_max = 120;

// There, back, there again.
void there_and_back(Life& life) {
  life.open();
  once(life, "copied", [&] {
    life.ready();
    life.writes(20);
    life.percent(50);
    life.writes(10);
  });
  once(life, "moved", [&] {
    life.promote();
    life.writes(60);
  });
  once(life, "back", [&] {
    life.roll_back();
    life.writes(20);
  });
  once(life, "moved again", [&] {
    life.ready();
    life.promote();
    life.writes(20);
    life.compare({"things"});
  });
  life.until(
      "the end", [&] { return life.status().state == "finalized"; },
      [&] { return life.migration->finalize({}); });
  life.writes(5);
  life.close();
}

// Reads go to the target and come back; the migration is given up and begun again.
void given_up(Life& life) {
  life.open();
  once(life, "reads", [&] {
    life.ready();
    life.percent(100);
    life.until(
        "reads at the source", [&] { return life.status().reads_percent == 0; },
        [&] { return life.migration->rollback({}); });
    life.writes(10);
  });
  once(life, "abandoned", [&] {
    life.until(
        "the end", [&] { return life.status().state == "abandoned"; },
        [&] { return life.migration->abandon({}); });
    life.writes(5);
  });
  life.ready();
  end_equal(life, 10);
}

// The application drops its collection and makes it again while the source is the primary.
void made_again(Life& life) {
  life.dialect.creates = things().name;
  life.open();
  once(life, "copied", [&] { life.ready(); });
  once(life, "dropped", [&] {
    life.rest();
    life.drop_things([&] { (void)life.send({"POST", "/drop", {}, ""}); });
  });
  life.rest();
  life.make_things();
  life.go_on();
  life.writes(30);
  life.no_gap();
  life.compare({"things"});
  life.close();
}

// Changes of collections on the target, and the way back without what only it has.
void changed_there(Life& life) {
  using Kind = model::SchemaChange::Kind;
  const auto order = [&](const model::SchemaChange& change) { return ordered(life, change); };
  // With a partition from the beginning: without one, records have other keys.
  const auto made_with = [](const std::string& name, std::vector<std::string> partitions) {
    model::Schema schema = things(name);
    schema.partitions = std::move(partitions);
    return schema;
  };
  const model::Schema made = made_with("made", {"", "first"});
  const model::Schema parted = made_with("made", {"", "first", "part"});
  life.open();
  move_there(life, 10);
  life.rest();
  once(life, "created", [&] { create_there(life, "made", made); });
  once(life, "altered", [&] {
    const auto has_part = [&] {
      const auto there = life.target.describe({"", "made"}, life.clock.in(seconds(1)));
      return there && *there && (*there)->partitions.size() == 3;
    };
    life.until("a partition", has_part,
               [&] { return order(change_of(Kind::alter_collection, "made", parted)); });
  });
  once(life, "parted", [&] {
    const auto lacks_part = [&] {
      const auto there = life.target.describe({"", "made"}, life.clock.in(seconds(1)));
      return there && *there && (*there)->partitions.size() < 3;
    };
    life.until("no partition", lacks_part,
               [&] { return order(change_of(Kind::alter_collection, "made", made)); });
  });
  once(life, "renamed", [&] {
    life.until(
        "the new name", [&] { return life.knows("called") && life.target.has_collection("called"); },
        [&] { return order(change_of(Kind::alter_collection, "made", made_with("called", {"", "first"}))); });
  });
  once(life, "dropped", [&] {
    life.until(
        "no collection", [&] { return !life.knows("called") && !life.target.has_collection("called"); },
        [&] { return order(change_of(Kind::drop_collection, "called", {})); });
  });
  life.go_on();
  life.writes(10);
  once(life, "noted", [&] {
    life.rest();
    create_there(life, "kept", things("kept"));
    life.go_on();
  });
  end_back(life);
}

// The target moves and its collection gets another name, between two starts.
void configured_anew(Life& life) {
  const auto moved = life.directory / "moved";
  const auto configure = [&] {
    life.options.names["things"] = "renamed";
    life.options.target_place.address = "elsewhere";
  };
  if (std::filesystem::exists(moved)) configure();
  life.open();
  if (!std::filesystem::exists(moved)) {
    life.ready();
    life.percent(50);
    life.writes(10);
    life.close();
    std::ofstream(moved.string()) << "moved\n";
    configure();
    life.open();
  }
  life.ready();
  life.writes(10);
  life.promote();
  end_equal(life, 10);
}

const std::map<std::string, Journey> usual_journeys{{"there and back", there_and_back},
                                                    {"given up", given_up},
                                                    {"made again", made_again},
                                                    {"changed there", changed_there},
                                                    {"configured anew", configured_anew}};

void write_hits(const std::filesystem::path& path) {
#ifdef VMPROXY_FAULTS
  std::ofstream out(path);
  for (size_t i = 0; i < fault::points_count; ++i) {
    if (fault::hits(i) > 0) out << fault::points[i].name << ' ' << fault::hits(i) << '\n';
  }
#else
  std::ofstream out(path);
#endif
}

// Arms a text once a life is open, and nothing any more soon after its last point is passed for the first time.
class Moment {
 public:
  Moment(std::string text, const Life& life) : text_(std::move(text)), life_(life) {
    if (!text_.empty()) thread_ = std::thread([this] { pass(); });
  }
  Moment(const Moment&) = delete;
  ~Moment() {
    ends_ = true;
    if (thread_.joinable()) thread_.join();
  }

 private:
  void pass() {
#ifdef VMPROXY_FAULTS
    const std::string last = text_.substr(text_.rfind(',') + 1);  // npos + 1 is the beginning
    size_t point = 0;
    while (last.rfind(std::string(fault::points[point].name) + ":", 0) != 0) ++point;
    wait_until([&] { return life_.was_opened.load(); });
    if (const auto armed = fault::arm(text_); !armed) throw std::runtime_error(armed.error().message);
    wait_until([&] { return fault::hits(point) > 0; });
    if (!ends_) std::this_thread::sleep_for(lasts);
    (void)fault::arm("count");
#endif
  }
  template <class Reached>
  void wait_until(Reached reached) const {
    while (!ends_ && !reached()) std::this_thread::sleep_for(milliseconds(1));
  }

  static constexpr milliseconds lasts{50};  // almost a second of the journey's clock

  const std::string text_;
  const Life& life_;
  std::atomic<bool> ends_{false};
  std::thread thread_;
};

}  // namespace

int main(int argc, char** argv) {
  auto journeys = usual_journeys;
  journeys.insert(journeys_in_trouble.begin(), journeys_in_trouble.end());
  if (argc != 3 || !journeys.contains(argv[2])) return 2;
  ::alarm(seconds_max);
  log::configure("warn", "text");
  const char* faults = std::getenv("VMPROXY_FAULTS");
  if (const auto armed = fault::arm(faults == nullptr ? "" : faults); !armed) {
    std::cerr << armed.error().message << '\n';
    return 2;
  }
  const auto life = std::make_unique<Life>(argv[1]);
  const char* moment = std::getenv("VMPROXY_FAULTS_MOMENT");
  const Moment armed_for_a_while(moment == nullptr ? "" : moment, *life);
  try {
    journeys.at(argv[2])(*life);
    write_hits(life->directory / "hits");
    return 0;
  } catch (const DiskError& error) {
    std::cerr << "to be started again: " << error.what() << '\n';
    std::_Exit(faults::exit_start_again);
  } catch (const std::exception& error) {
    std::cerr << "not at its end: " << error.what() << '\n';
    // Whatever still runs goes with the process.
    std::_Exit(1);
  }
}
