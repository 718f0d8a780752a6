#include "protocols/chroma/listing.h"

#include <rapidcheck.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "protocols/chroma/driver.h"

using namespace vmproxy;
using protocols::chroma::list_by_offset;
using Ids = std::vector<std::string>;

namespace {

Ids page_of(const Ids& rows, size_t offset, size_t limit) {
  if (offset >= rows.size()) return {};
  return Ids(rows.begin() + static_cast<ptrdiff_t>(offset),
             rows.begin() + static_cast<ptrdiff_t>(std::min(offset + limit, rows.size())));
}

Ids numbered(size_t count) {
  Ids rows;
  for (size_t i = 0; i < count; ++i) rows.push_back("r" + std::to_string(i));
  return rows;
}

}  // namespace

TEST_CASE("a listing at rest gives every row once") {
  for (const size_t count : {0, 1, 9, 10, 11, 100, 101}) {
    const Ids rows = numbered(count);
    for (const size_t told : {count, count + 25}) {
      const auto listed =
          list_by_offset([&](size_t o, size_t n) -> Result<Ids> { return page_of(rows, o, n); }, told, 10);
      REQUIRE(listed.has_value());
      CHECK(Ids(*listed).size() == count);
      CHECK(std::set<std::string>(listed->begin(), listed->end()) ==
            std::set<std::string>(rows.begin(), rows.end()));
    }
  }
}

TEST_CASE("an error ends the listing") {
  const auto listed =
      list_by_offset([](size_t, size_t) -> Result<Ids> { return Error(Code::timeout, "late"); }, 5, 10);
  REQUIRE(!listed.has_value());
  CHECK(listed.error().code == Code::timeout);
}

TEST_CASE("a page that has more than was asked for ends the listing") {
  const auto listed = list_by_offset([](size_t, size_t n) -> Result<Ids> { return numbered(n + 1); }, 15, 10);
  REQUIRE(!listed.has_value());
  CHECK(listed.error().code == Code::corrupt);
}

TEST_CASE("deleting far more rows than a page hides none of the others") {
  Ids rows = numbered(100);
  size_t calls = 0;
  const auto listed = list_by_offset(
      [&](size_t o, size_t n) -> Result<Ids> {
        if (calls++ == 3) rows.erase(rows.begin(), rows.begin() + 35);
        return page_of(rows, o, n);
      },
      100, 10);
  REQUIRE(listed.has_value());
  const std::set<std::string> found(listed->begin(), listed->end());
  for (size_t i = 35; i < 100; ++i) CHECK(found.contains("r" + std::to_string(i)));
}

TEST_CASE("rows that exist all the time are listed once, whatever is deleted, added or added again") {
  CHECK(rc::check([] {
    Ids rows = numbered(*rc::gen::inRange<size_t>(0, 80));
    std::set<std::string> constant(rows.begin(), rows.end());
    size_t added = 0;
    size_t changes = *rc::gen::inRange<size_t>(0, 12);
    const size_t page = *rc::gen::inRange<size_t>(1, 12);
    const size_t count = rows.size();
    const auto listed = list_by_offset(
        [&](size_t offset, size_t limit) -> Result<Ids> {
          if (changes > 0 && !rows.empty()) {
            --changes;
            const size_t from = *rc::gen::inRange<size_t>(0, rows.size());
            const size_t count = *rc::gen::inRange<size_t>(0, rows.size() - from + 1);
            for (size_t i = from; i < from + count; ++i) constant.erase(rows[i]);
            const std::string again = count > 0 ? rows[from] : "x" + std::to_string(++added);
            rows.erase(rows.begin() + static_cast<ptrdiff_t>(from),
                       rows.begin() + static_cast<ptrdiff_t>(from + count));
            rows.push_back(again);
          }
          return page_of(rows, offset, limit);
        },
        count, page);
    RC_ASSERT(listed.has_value());
    const std::set<std::string> found(listed->begin(), listed->end());
    RC_ASSERT(found.size() == listed->size());
    RC_ASSERT(std::includes(found.begin(), found.end(), constant.begin(), constant.end()));
  }));
}

TEST_CASE("a database is listed also when another one is deleted between two answers") {
  Ids names = numbered(1100);
  const auto number = [](const net::Request& request, std::string_view name, size_t without) {
    const auto text = net::query_parameter(request.target, name);
    return text ? std::stoul(std::string(*text)) : without;
  };
  protocols::chroma::ChromaDriver driver(
      {},
      [&](const net::Request& request, Deadline) -> Result<net::Response> {
        if (request.target.find("/databases") == std::string::npos) return net::Response{200, {}, "{}", {}};
        std::string body;
        for (const auto& name :
             page_of(names, number(request, "offset", 0), number(request, "limit", names.size())))
          body += (body.empty() ? "[" : ",") + std::string(R"({"name":")") + name + R"("})";
        names.erase(names.begin());
        return net::Response{200, {}, body.empty() ? "[]" : body + "]", {}};
      },
      {"default_tenant", "default_database"}, {"default_tenant"});
  const auto spaces = driver.list_spaces(TimePoint::max());
  REQUIRE(spaces.has_value());
  std::set<std::string> found;
  for (const auto& space : *spaces) found.insert(space.path);
  for (const auto& name : names) CHECK(found.contains("default_tenant/" + name));
}
