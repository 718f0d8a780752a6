// Seed: what one seed consists of. Its parts are in seed_*.cpp; all are threads of one run, outside of the process.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/checker/history.h"
#include "tests/sim/requests.h"
#include "tests/sim/seed.h"
#include "tests/sim/world.h"

namespace vmproxy::sim {

using checker::Kind;
using Did = Answer::Did;

// How long a database may take over what it was asked, and nobody hears of.
Duration some_window(Scheduler& run);
inline std::string key_text(const std::string& id) {
  return "things/" + id;
}

class Seed {
 public:
  // Braces: chance is asked in this order.
  explicit Seed(Scheduler& run) : run_(run), world_{run, some_window(run), some_window(run)} {}

  void play();
  Verdict verdict;

 private:
  // What a chance may do to this seed: often nothing of a kind, so that each kind is seen alone too.
  double rate(double max) {
    return run_.chance(0.4) ? 0 : max * static_cast<double>(run_.below(1000)) / 1000;
  }
  void plan();
  void plan_promises();
  void client(const std::string& name);
  void put(const std::string& name);
  void erase(const std::string& name);
  void erase_where(const std::string& name);
  void read(const std::string& name);
  void recreate(const std::string& name);
  Did change(const std::string& name, Change change);
  void write(const std::string& name, How how, const Images& images, Kind kind);
  void record_write(const std::string& name, const std::string& id, Kind kind, int64_t version, Time call,
                    World::Asked asked, const std::shared_ptr<const Answer>& given);
  std::vector<std::string> some_ids();

  void operate();
  std::string state();
  void start(bool forced = false);
  void validate();
  void operate_promoted(uint64_t what);
  void quarantine(bool promoted);
  void go_back_without_target();
  void forced(const std::string& what, bool to_target, std::vector<std::string> gates);
  bool set_aside(std::set<std::string>& ids);  // what is in quarantine; false: nobody answered
  bool control(const std::string& what, const std::function<Result<void>(cutover::Migration&)>& call);
  void disturb();
  void kill_at_a_bad_moment();
  void refuse_for_a_while();
  void outage();
  void bad_disk();
  void reconfigure();
  void heal();
  bool settled(std::string& why);
  bool rests();
  void last_copies_are_kept();
  void drop_what_is_at_risk();
  void plant_a_difference();
  cutover::Status validated(bool repair);
  void add_writes();
  Time carried_back(Time call) const;
  void add_forced();
  void judge();
  void violated(std::string what) { verdict.violations.push_back(std::move(what)); }

  Scheduler& run_;
  World world_;
  checker::History history_;
  // What was asked for. How it ended, and what came of it, is known at the end: the application may have gone before.
  struct Written {
    std::string by, id;
    Kind kind;
    int64_t version;
    Time call, told;  // told: when the application heard of the end; never: it had gone
    std::shared_ptr<const Answer> answer;
  };
  std::vector<Written> writes_;
  std::vector<std::string> ids_;
  int64_t version_ = 0;
  Time ends_ = 0, think_ = 0;
  double read_back_ = 0;
  bool hot_ = false;
  uint64_t wheres_ = 0;  // of a hundred operations
  int clients_ = 0, under_way_ = 0;
  std::map<std::string, int> under_way_of_;     // writes of a record that nobody knows the end of yet
  std::map<std::string, Time> doubtful_until_;  // ... will ever know
  bool kills_ = false, outages_ = false, abandons_ = false, changes_ = false;
  bool unbounded_ = false, stale_reads_ = false;
  bool gave_up_ = false;  // the operator dropped something from quarantine
  // Records of which the replica may lack something, until a validation is clean that began when that could no longer be done.
  std::map<std::string, Time> suspect_;
  bool hurries_ = false;  // the operator, to get to the promotion and beyond
  bool refuses_ = false, forces_ = false, dies_ = false, finalizes_ = false, reconfigures_ = false,
       disk_breaks_ = false;
  // A change of the primary in spite of gates: what of these records the new primary lacked is given up.
  struct Forced {
    bool to_target;
    Time from, until;
    std::set<std::string> ids;
    bool listed = false;  // the quarantine was, after the change
  };
  std::vector<Forced> forced_;
  uint64_t promotions_asked_ = 0, promotions_answered_ = 0;
  // Rollbacks that may have gone without the target: what nobody knows the end of there they may write, from the journal.
  struct Rollback {
    Time from, until;
    bool worked = false;  // as far as anybody was told
  };
  std::vector<Rollback> rollbacks_;
  Time finalized_ = never;  // the first time that somebody knew
  Time dropped_ = -1;       // the collection, the last time
  bool changing_ = false;   // somebody drops the collection, and makes it again
};

}  // namespace vmproxy::sim
