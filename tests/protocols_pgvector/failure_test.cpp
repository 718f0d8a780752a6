// Deadlines, lost answers, and what may be said of a write afterwards.
#include <signal.h>

#include <catch2/catch.hpp>
#include <thread>

#include "database.h"
#include "tests/support/no_threads.h"

using namespace vmproxy;
using namespace vmproxy::testing;
using protocols::UpsertMode;
using std::chrono::milliseconds;

namespace {

// A session that holds a lock until it goes.
class Holder {
 public:
  explicit Holder(const std::string& statement) : connection_(PQconnectdb(url().c_str()), PQfinish) {
    for (const std::string& text : {std::string("BEGIN"), statement}) {
      std::unique_ptr<PGresult, decltype(&PQclear)> result(PQexec(connection_.get(), text.c_str()), PQclear);
      if (PQresultStatus(result.get()) != PGRES_COMMAND_OK)
        throw std::runtime_error(PQerrorMessage(connection_.get()));
    }
  }

 private:
  std::unique_ptr<PGconn, decltype(&PQfinish)> connection_;
};

std::vector<pid_t> backends() {
  std::vector<pid_t> pids;
  std::string list =
      sql("SELECT coalesce(string_agg(pid::text, ' '), '') FROM pg_stat_activity WHERE application_name = "
          "'vmproxy'");
  for (size_t at = 0; at < list.size();) {
    size_t used = 0;
    pids.push_back(static_cast<pid_t>(std::stol(list.substr(at), &used)));
    at += used + 1;
  }
  return pids;
}

void wait_for(const std::string& condition) {
  const auto end = soon();
  while (sql("SELECT " + condition) != "t") {
    if (the_clock().now() > end) throw std::runtime_error("in vain: " + condition);
    std::this_thread::sleep_for(milliseconds(10));
  }
}

// As short as the writes of late_start, so that the session need not be told another limit in between.
Deadline brief() {
  return soon(milliseconds(450));
}

void put_briefly(auto& d, const auto& schema, const auto& what) {
  // A busy machine may need more than one attempt; each one that fails ends its session.
  for (int attempt = 0; attempt < 20; ++attempt) {
    const auto put = d.upsert(schema, std::vector{what}, UpsertMode::replace, brief());
    if (put) return;
    REQUIRE(put.error().code == Code::timeout);
    wait_for("count(*) = 0 FROM pg_stat_activity WHERE application_name = 'vmproxy'");
  }
  FAIL("PostgreSQL takes longer than 450 ms for a record each time");
}

// Stops the server's side of the driver's one connection, sends a write that cannot be answered, and lets it
// go on later.
void late_start(const std::function<Error(Deadline)>& write) {
  const auto pids = backends();
  REQUIRE(pids.size() == 1);
  REQUIRE(kill(pids[0], SIGSTOP) == 0);
  const Error error = write(soon(milliseconds(300)));
  CHECK(error.code == Code::timeout);
  CHECK_FALSE(error.surely_not_done());
  // By now the time in which it may start is over.
  std::this_thread::sleep_for(milliseconds(200));
  kill(pids[0], SIGCONT);
  wait_for("count(*) = 0 FROM pg_stat_activity WHERE pid = " + std::to_string(pids[0]));
}

}  // namespace

TEST_CASE("a write that a stopped server finds in its buffer later does nothing") {
  const auto d = driver();
  const auto schema = fresh(*d, things("zombies"));
  const auto kept = record("kept");
  for (const auto mode : {UpsertMode::replace, UpsertMode::insert_only}) {
    put_briefly(*d, schema, kept);
    late_start([&](Deadline deadline) {
      return d->upsert(schema, std::vector{record("zombie")}, mode, deadline).error();
    });
    CHECK(sql("SELECT count(*) FROM zombies") == "1");
  }
  put_briefly(*d, schema, kept);
  late_start([&](Deadline deadline) { return d->erase(schema, std::vector{kept.key}, deadline).error(); });
  CHECK(sql("SELECT count(*) FROM zombies") == "1");
  put_briefly(*d, schema, kept);
  late_start([&](Deadline deadline) { return d->drop(schema.name, deadline).error(); });
  CHECK(sql("SELECT count(*) FROM zombies") == "1");
}

TEST_CASE("the server itself stops a write that takes longer than the bound we promise") {
  const auto d = driver();
  const auto schema = fresh(*d, things("bounded"));
  REQUIRE(d->capabilities().max_exec.has_value());
  const Holder lock("LOCK TABLE bounded IN SHARE MODE");
  const auto begin = the_clock().now();
  // The deadline is far away, so it is not we who give up.
  const auto result =
      d->upsert(schema, std::vector{record("x")}, UpsertMode::replace, soon(std::chrono::seconds(60)));
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error().surely_not_done());
  CHECK(the_clock().now() - begin < *d->capabilities().max_exec);
  CHECK(sql("SELECT count(*) FROM bounded") == "0");
}

TEST_CASE("a missed deadline is uncertain, prompt, and the server is asked to cancel") {
  const auto d = driver();
  const auto schema = fresh(*d, things("deadlines"));
  {
    const Holder lock("LOCK TABLE deadlines IN SHARE MODE");
    const auto begin = the_clock().now();
    const auto result =
        d->upsert(schema, std::vector{record("x")}, UpsertMode::replace, soon(milliseconds(230)));
    REQUIRE_FALSE(result.has_value());
    CHECK((result.error().code == Code::timeout || result.error().code == Code::quota));
    CHECK(the_clock().now() - begin < milliseconds(1500));
    wait_for("count(*) = 0 FROM pg_stat_activity WHERE application_name = 'vmproxy' AND state = 'active'");
  }
  CHECK(sql("SELECT count(*) FROM deadlines") == "0");
  const auto late =
      d->upsert(schema, std::vector{record("x")}, UpsertMode::replace, the_clock().now() - milliseconds(1));
  REQUIRE_FALSE(late.has_value());
  CHECK(late.error().surely_not_done());
  CHECK(good(d->upsert(schema, std::vector{record("x")}, UpsertMode::replace, soon())).refused.empty());
}

TEST_CASE(
    "a missed deadline is an error, not the end, where the system refuses the thread that would cancel") {
  const auto d = driver();
  const auto schema = fresh(*d, things("threadless"));
  const auto kept = record("kept");
  for (int round = 0; round < 2; ++round) {
    put_briefly(*d, schema, kept);
    late_start([&](Deadline deadline) {
      const support::NoThreads limit;
      return d->upsert(schema, std::vector{record("late")}, UpsertMode::replace, deadline).error();
    });
    CHECK(sql("SELECT count(*) FROM threadless") == "1");
  }
}

TEST_CASE("a connection that the server closed while idle costs nobody an error") {
  const auto d = driver();
  const auto schema = fresh(*d, things("idle"));
  for (int i = 0; i < 3; ++i) {
    good(d->upsert(schema, std::vector{record("x" + std::to_string(i))}, UpsertMode::replace, soon()));
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'vmproxy'");
    wait_for("count(*) = 0 FROM pg_stat_activity WHERE application_name = 'vmproxy'");
  }
  CHECK(sql("SELECT count(*) FROM idle") == "3");
}

TEST_CASE("a connection that breaks in the middle of a write leaves it uncertain") {
  const auto d = driver();
  const auto schema = fresh(*d, things("broken"));
  const Holder lock("LOCK TABLE broken IN SHARE MODE");
  std::optional<Error> error;
  std::thread writer([&] {
    const auto result = d->upsert(schema, std::vector{record("x")}, UpsertMode::replace, soon());
    if (!result) error = result.error();
  });
  wait_for(
      "count(*) = 1 FROM pg_stat_activity WHERE application_name = 'vmproxy' AND wait_event_type = 'Lock'");
  sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'vmproxy'");
  writer.join();
  REQUIRE(error.has_value());
  CHECK_FALSE(error->surely_not_done());
  CHECK(error->retryable());
}

TEST_CASE("a server that cannot be reached or a database that is not there did nothing") {
  const auto at = [](const std::string& url) {
    protocols::Endpoint endpoint;
    endpoint.url = url;
    return protocols::pgvector::system().make_driver(endpoint, the_clock()).value();
  };
  const auto nobody = at("postgresql://127.0.0.1:1/app")->describe_server(soon());
  REQUIRE_FALSE(nobody.has_value());
  CHECK(nobody.error().code == Code::refused_connection);
  CHECK(nobody.error().message.find("127.0.0.1:1") != std::string::npos);
  const auto missing = at(url().substr(0, url().rfind('/')) + "/nothere")->describe_server(soon());
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error().code == Code::not_found);
}

TEST_CASE("a table that is gone or changed behind our back is noticed") {
  const auto d = driver();
  const auto schema = fresh(*d, things("changing"));
  good(d->upsert(schema, std::vector{record("x")}, UpsertMode::replace, soon()));
  sql("ALTER TABLE changing DROP COLUMN document");
  const auto broken = d->upsert(schema, std::vector{record("y")}, UpsertMode::replace, soon());
  if (!broken) CHECK(broken.error().surely_not_done());
  CHECK(good(d->upsert(schema, std::vector{record("y")}, UpsertMode::replace, soon())).refused.empty());
  sql("DROP TABLE changing");
  const auto gone = d->upsert(schema, std::vector{record("z")}, UpsertMode::replace, soon());
  REQUIRE_FALSE(gone.has_value());
  CHECK(gone.error().code == Code::not_found);
  CHECK(gone.error().surely_not_done());
}

TEST_CASE("many threads share the pool, and one that finds it busy until its deadline did nothing") {
  const auto d = driver();
  const auto schema = fresh(*d, things("threads"));
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (int t = 0; t < 24; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        const auto r = record("t" + std::to_string(t) + "-" + std::to_string(i % 5));
        if (!d->upsert(schema, std::vector{r, record("shared"), record("also shared")}, UpsertMode::replace,
                       soon()))
          ++failures;
        if (!d->read(schema, std::vector{r.key}, {}, soon())) ++failures;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(failures == 0);
  CHECK(sql("SELECT count(*) FROM threads") == "122");
  CHECK(std::stoi(sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'vmproxy'")) <= 16);

  const Holder lock("LOCK TABLE threads IN SHARE MODE");
  threads.clear();
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([&] {
      (void)d->upsert(schema, std::vector{record("x")}, UpsertMode::replace, soon(milliseconds(1500)));
    });
  }
  wait_for(
      "count(*) = 16 FROM pg_stat_activity WHERE application_name = 'vmproxy' AND wait_event_type = 'Lock'");
  const auto busy = d->upsert(schema, std::vector{record("y")}, UpsertMode::replace, soon(milliseconds(100)));
  for (auto& thread : threads) thread.join();
  REQUIRE_FALSE(busy.has_value());
  CHECK(busy.error().code == Code::overloaded);
}
