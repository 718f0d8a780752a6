// Truth: what an application that outlives the proxy knows of its records. Each write is a line of a file before it is sent, and
// another one once it is acknowledged, so that it holds whatever is killed. Of one thread.
//   b NUMBER ID VALUE    write NUMBER begins; VALUE is what the record holds then, 0: it is not there
//   a NUMBER             it is acknowledged
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>

#include "tests/support/fake_driver.h"

namespace vmproxy::support {

class Truth {
 public:
  explicit Truth(const std::string& path) {
    std::ifstream lines(path);
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      char kind = 0;
      int64_t number = 0, value = 0;
      std::string id;
      if (!(words >> kind >> number)) continue;
      if (kind == 'b' && words >> id >> value) begun(number, id, value);
      if (kind == 'a') acked(number);
    }
    before_ = last_;
    file_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file_ < 0) throw std::runtime_error("cannot open " + path);
  }
  Truth(const Truth&) = delete;
  ~Truth() { ::close(file_); }

  int64_t last() const { return last_; }
  // A write of these records; its number.
  int64_t begin(const std::map<std::string, int64_t>& values) {
    const int64_t number = last_ + 1;
    for (const auto& [id, value] : values) {
      note("b " + std::to_string(number) + " " + id + " " + std::to_string(value) + "\n");
      begun(number, id, value);
    }
    return number;
  }
  void ack(int64_t number) {
    note("a " + std::to_string(number) + "\n");
    acked(number);
  }
  // What the record may hold. One alone: that is certain.
  std::set<int64_t> legal(const std::string& id) const {
    const auto at = records_.find(id);
    if (at == records_.end()) return {0};
    std::set<int64_t> values{at->second.acked};
    for (const auto& [number, value] : at->second.open) values.insert(value);
    return values;
  }
  std::set<std::string> ids() const {
    std::set<std::string> all;
    for (const auto& [id, record] : records_) all.insert(id);
    return all;
  }
  // Empty: these rows are what the application was told, and of a write of this process that it was not told of there is all or
  // nothing. (A database that is a part of the process may be killed in the middle of one.)
  std::string against(const FakeDriver::Rows& rows) const {
    std::string wrong;
    std::set<std::string> all = ids();
    for (const auto& [id, value] : rows) all.insert(id);
    for (const auto& id : all) {
      const auto row = rows.find(id);
      const int64_t value = row == rows.end() ? 0 : row->second;
      const auto may = legal(id);
      if (may.contains(value)) continue;
      wrong += id + " is " + std::to_string(value) + " and was acknowledged as";
      for (const int64_t one : may) wrong += " " + std::to_string(one);
      wrong += "\n";
    }
    return wrong + halves(rows);
  }

 private:
  std::string halves(const FakeDriver::Rows& rows) const {
    std::map<int64_t, std::set<bool>> done;  // of a write: is there, is not there
    for (const auto& [id, record] : records_) {
      if (record.open.size() != 1) continue;
      const auto [number, value] = *record.open.begin();
      if (number <= before_ || value == record.acked) continue;
      const auto row = rows.find(id);
      done[number].insert((row == rows.end() ? 0 : row->second) == value);
    }
    std::string wrong;
    for (const auto& [number, both] : done) {
      if (both.size() > 1) wrong += "write " + std::to_string(number) + " is there by halves\n";
    }
    return wrong;
  }

  struct Record {
    int64_t acked = 0;
    std::map<int64_t, int64_t> open;  // writes after it whose end nobody knows: number -> value
  };
  void begun(int64_t number, const std::string& id, int64_t value) {
    last_ = std::max(last_, number);
    records_[id].open[number] = value;
  }
  void acked(int64_t number) {
    for (auto& [id, record] : records_) {
      const auto write = record.open.find(number);
      if (write == record.open.end()) continue;
      record.acked = write->second;
      record.open.erase(record.open.begin(), std::next(write));
    }
  }
  void note(const std::string& line) {
    if (::write(file_, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
      throw std::runtime_error("the history cannot be written");
  }

  int file_ = -1;
  int64_t last_ = 0, before_ = 0;  // before_: of other processes
  std::map<std::string, Record> records_;
};

}  // namespace vmproxy::support
