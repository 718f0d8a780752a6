// `vmproxy from`: a whole copy between two fake databases, with a real journal on the disk and real time.
#include "app/from.h"

#include <boost/json.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/databases.h"
#include "cli/program.h"
#include "tests/support/rig.h"

using namespace vmproxy;
using namespace vmproxy::support;

namespace {

// Each run makes drivers of its own; the database behind them is the test's.
class Connection final : public protocols::Driver {
 public:
  explicit Connection(FakeDriver& to) : to_(to) {}
  std::string_view system() const override { return to_.system(); }
  const model::Capabilities& capabilities() const override { return to_.capabilities(); }
  Result<protocols::ServerInfo> describe_server(Deadline d) override { return to_.describe_server(d); }
  Result<std::vector<protocols::Space>> list_spaces(Deadline d) override { return to_.list_spaces(d); }
  Result<std::vector<model::Schema>> list_collections(Deadline d) override { return to_.list_collections(d); }
  Result<protocols::Holdings> list_all(Deadline d) override { return to_.list_all(d); }
  Result<std::optional<model::Schema>> describe(const model::CollectionName& name, Deadline d) override {
    return to_.describe(name, d);
  }
  model::CollectionName name_for(const model::CollectionName& name) const override {
    return to_.name_for(name);
  }
  Result<void> create(const model::Schema& schema, Deadline d) override { return to_.create(schema, d); }
  Result<void> alter(const model::CollectionName& now, const model::Schema& wanted, Deadline d) override {
    return to_.alter(now, wanted, d);
  }
  Result<void> drop(const model::CollectionName& name, Deadline d) override { return to_.drop(name, d); }
  Result<void> build_indexes(const model::Schema& schema, Deadline d) override {
    return to_.build_indexes(schema, d);
  }
  Result<std::vector<model::Record>> read(const model::Schema& schema, std::span<const model::Key> keys,
                                          protocols::ReadParts parts, Deadline d) override {
    return to_.read(schema, keys, parts, d);
  }
  Result<protocols::ApplyResult> upsert(const model::Schema& schema, std::span<const model::Record> records,
                                        protocols::UpsertMode mode, Deadline d) override {
    return to_.upsert(schema, records, mode, d);
  }
  Result<protocols::ApplyResult> erase(const model::Schema& schema, std::span<const model::Key> keys,
                                       Deadline d) override {
    return to_.erase(schema, keys, d);
  }
  Result<model::QueryResult> query(const model::Schema& schema, const model::Query& query,
                                   Deadline d) override {
    return to_.query(schema, query, d);
  }
  Result<std::vector<protocols::ScanRange>> plan_scan(const model::Schema& schema, size_t wanted,
                                                      Deadline d) override {
    return to_.plan_scan(schema, wanted, d);
  }
  Result<protocols::ScanPage> scan(const model::Schema& schema, const protocols::ScanRange& range,
                                   const std::string& cursor, size_t records_max, protocols::ReadParts parts,
                                   Deadline d) override {
    return to_.scan(schema, range, cursor, records_max, parts, d);
  }

 private:
  FakeDriver& to_;
};

protocols::System system_of(std::string_view name, FakeDriver& database) {
  return {name,
          [&database](const protocols::Endpoint&, Clock&) -> Result<std::unique_ptr<protocols::Driver>> {
            return std::unique_ptr<protocols::Driver>(std::make_unique<Connection>(database));
          },
          nullptr};
}

// A directory of its own, in which the command keeps its state.
struct From {
  FakeDriver source, target;
  std::vector<protocols::System> systems{system_of("old", source), system_of("new", target)};
  std::filesystem::path before = std::filesystem::current_path(), folder;
  SystemClock clock;
  std::atomic<bool> interrupted{false};
  std::string out, err;

  From() {
    std::string pattern = (std::filesystem::temp_directory_path() / "vmproxy-from-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    folder = pattern;
    std::filesystem::current_path(folder);
    for (auto* database : {&source, &target}) {
      database->caps.max_exec = Duration::zero();  // nothing to wait for
      database->caps.max_zombie = Duration::zero();
    }
    source.add_collection(things());
    for (int i = 0; i < 5; ++i) source.put("k" + std::to_string(i), 1);
  }
  ~From() {
    std::filesystem::current_path(before);
    std::filesystem::remove_all(folder);
  }
  int run(const std::vector<std::string>& more = {}) {
    std::ostringstream out_stream, err_stream;
    std::istringstream in_stream;
    cli::Program program{
        {out_stream, err_stream, in_stream},
        clock,
        interrupted,
        "0.1.0",
        cli::known_names(systems),
        [](const std::string&) -> Result<cli::Transport> { return Error(Code::internal, "no server"); },
        [](Duration) { std::this_thread::sleep_for(std::chrono::milliseconds(5)); },  // of polling
        [](const std::string&) { return std::optional<std::string>(); },
        {{"from", app::from_command(systems)}}};
    std::vector<std::string> words{"from", "old",   "--url",      "http://old", "--to",
                                   "new",  "--url", "http://new", "-o",         "json"};
    words.insert(words.end(), more.begin(), more.end());
    const int code = cli::run(words, program);
    out = out_stream.str();
    err = err_stream.str();
    return code;
  }
  int64_t told(const std::string& name) const {
    return boost::json::parse(out).as_object().at(name).to_number<int64_t>();
  }
  bool keeps_state() const { return std::filesystem::exists(folder / "vmproxy-data"); }
};

}  // namespace

TEST_CASE_METHOD(From, "from: a copy that is complete leaves nothing of its own behind") {
  CHECK(run() == 0);
  INFO(err);
  CHECK(told("records") == 5);
  CHECK(told("compared") == 5);
  CHECK(source.rows() == target.rows());
  CHECK_FALSE(keeps_state());
}

TEST_CASE_METHOD(
    From, "from: what the target refused is tried again by the same line, and everything is compared again") {
  target.refuse("k3", Error(Code::invalid, "too large"));
  REQUIRE(run() == 4);
  CHECK(told("quarantined") == 1);
  CHECK(err.find("too large") != std::string::npos);
  CHECK(keeps_state());
  SECTION("it is still refused") {
    CHECK(run() == 4);
    CHECK(told("quarantined") == 1);
    CHECK(told("compared") == 5);
    CHECK(told("records") == 5);
    CHECK(keeps_state());
  }
  SECTION("it fits now, and the source has changed since") {
    target.refuse("k3", std::nullopt);
    source.put("late", 1);
    source.remove("k1");
    CHECK(run() == 0);
    INFO(err);
    CHECK(told("quarantined") == 0);
    CHECK(told("compared") == 5);
    CHECK(told("different") + told("missing") + told("extra") == 0);
    CHECK_FALSE(boost::json::parse(out).as_object().at("lost_fields_complete").as_bool());
    CHECK(source.rows() == target.rows());
    CHECK_FALSE(keeps_state());
  }
}

TEST_CASE_METHOD(
    From,
    "from: a comparison that did not end is made anew by the same line, as nobody followed the source since") {
  const Error broken(Code::invalid, "broken");  // of the target's keys; the source's records are compared
  SECTION("the first one") {
    target.fail(Call::scan, broken);
  }
  SECTION("the one after a run that had come as far as the end") {
    target.refuse("k3", Error(Code::invalid, "too large"));
    REQUIRE(run() == 4);
    target.refuse("k3", std::nullopt);
    target.fail(Call::scan, broken);
  }
  REQUIRE(run() != 0);
  CHECK(err.find("broken") != std::string::npos);
  REQUIRE(keeps_state());
  source.put("k1", 2);
  CHECK(run() == 0);
  INFO(err);
  CHECK(told("compared") == 5);
  CHECK(source.rows() == target.rows());
  CHECK_FALSE(keeps_state());
}

TEST_CASE_METHOD(
    From, "from: what cannot be copied is named, and the command does not end as if all had come over") {
  source.leave_out({{{"", "keyless"}, "table.primary_key: it has none", "give it one"}});
  CHECK(run({"--dry-run"}) == 4);
  CHECK(boost::json::parse(out).as_object().at("left_out").as_array().size() == 1);
  REQUIRE(run() == 4);
  CHECK(told("records") == 5);
  CHECK(told("different") + told("missing") + told("extra") == 0);
  const auto left_out = boost::json::parse(out).as_object().at("left_out").as_array();
  REQUIRE(left_out.size() == 1);
  CHECK(left_out[0].as_object().at("name") == "keyless");
  CHECK(left_out[0].as_object().at("remedy") == "give it one");
  CHECK(err.find("keyless: table.primary_key: it has none; give it one") != std::string::npos);
  CHECK(err.find("done.") == std::string::npos);
  CHECK(source.rows() == target.rows());
  SECTION("mended, the same line brings it over too") {
    source.leave_out({});
    source.add_collection(things("keyless"));
    source.put("keyless", "x", 1);
    CHECK(run() == 0);
    INFO(err);
    CHECK(target.rows("keyless") == source.rows("keyless"));
    CHECK(source.rows() == target.rows());
    CHECK_FALSE(keeps_state());
  }
  SECTION("as it was, it is said again") {
    CHECK(run() == 4);
  }
}

TEST_CASE_METHOD(
    From, "from: who names the collections is not told of others, and hears of each that cannot be had") {
  source.leave_out({{{"", "keyless"}, "table.primary_key: it has none", "give it one"}});
  SECTION("others") {
    CHECK(run({"--collection", "things"}) == 0);
    CHECK(boost::json::parse(out).as_object().at("left_out").as_array().empty());
  }
  SECTION("one that cannot be a collection") {
    CHECK(run({"--collection", "things", "--collection", "keyless"}) == 3);
    CHECK(err.find("keyless: table.primary_key: it has none; give it one") != std::string::npos);
    CHECK(target.rows().empty());
  }
  SECTION("only that") {
    CHECK(run({"--collection", "keyless"}) == 3);
    CHECK(err.find("keyless: table.primary_key: it has none; give it one") != std::string::npos);
  }
  SECTION("by a pattern") {
    CHECK(run({"--collection", "*s*"}) == 4);
    CHECK(target.rows() == source.rows());
  }
  SECTION("one that is not there") {
    CHECK(run({"--collection", "things", "--collection", "thinks"}) == 3);
    CHECK(err.find("no collection 'thinks'") != std::string::npos);
    CHECK(target.rows().empty());
  }
}
