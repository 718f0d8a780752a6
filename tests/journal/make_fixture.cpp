// Writes tests/journal/data/format_N.txt, one line a key and value in hex: the content of a journal of the
// format that this build writes. Run it once when a format is new, commit its output, and never change older
// files.
#include <cstdio>
#include <future>

#include "journal/journal.h"
#include "journal/rows.h"
#include "store/memory_store.h"

using namespace vmproxy;
using namespace vmproxy::journal;

namespace {

void print_hex(const std::string& bytes) {
  for (const char c : bytes) std::printf("%02x", static_cast<unsigned>(static_cast<uint8_t>(c)));
}

}  // namespace

int main() {
  SystemClock clock;
  Metrics metrics;
  auto store = store::make_memory_store();
  auto journal = Journal::open(*store, clock, metrics, {}).value();
  const auto append = [&](int i) {
    IntentHead head;
    head.epoch = 1;
    head.cls = IntentClass::image;
    head.operation = "collection.upsert";
    head.collection = {"tenant/database", "things"};
    head.keys = {{"", {std::to_string(i)}}, {"part", {uint64_t{7}}}};
    IntentBody body{
        "POST", "/api/v2/x?y=1", {{"content-type", "application/json"}}, "body " + std::to_string(i)};
    std::promise<void> done;
    journal->append(std::move(head), std::move(body), [&](Result<Seq>) { done.set_value(); });
    done.get_future().get();
  };
  for (int i = 1; i <= 4; ++i) append(i);
  OutcomeRecord outcome;
  outcome.whole = model::Outcome::applied;
  outcome.items = {model::Outcome::applied, model::Outcome::applied};
  model::Record record;
  record.key = {"", {std::string("4")}};
  record.vectors[""] = model::DenseVector{1, 2, 3};
  record.document = "text";
  record.metadata =
      model::Object{{"price", model::Value(1.5)}, {"tags", model::Value(model::Array{"a", "b"})}};
  outcome.images = {{record.key, record}, {{"part", {uint64_t{7}}}, std::nullopt}};
  journal->outcome(4, outcome);
  journal->trim_below(2);
  journal->drop_bodies_below(3);
  store->fail_next_commits(1);
  append(5);
  journal->reopen().value();
  append(6);
  append(7);
  journal->commit_rows({{std::string(rows::state), "state", "mirroring"}}).value();
  journal->mark_gap("POST /unknown").value();
  while (journal->stats().trimmed_below != 2) {
  }
  for (const auto& [key, value] : store->dump()) {
    print_hex(key);
    std::printf(" ");
    print_hex(value);
    std::printf("\n");
  }
}
