// search, and what to make of hits on records that are deleted while Chroma answers.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "protocols/chroma/driver.h"
#include "protocols/chroma/filters.h"

namespace vmproxy::protocols::chroma {
namespace {

using model::Hit;
using model::Query;
using model::QueryResult;
using model::Schema;
using HitLists = std::vector<std::vector<Hit>>;

constexpr size_t search_ids_max = 50'000;  // ids sent along with a search
constexpr int asked_again_max = 4;
constexpr uint64_t near_hits_max = 65'536;  // asked for to find those beyond a bound

Error unsupported(const std::string& what) {
  return Error(Code::unsupported, what);
}

// Came without what was asked for. A record without document and metadata looks so as well.
bool bare(const Hit& hit, Included parts) {
  if (parts.vectors && hit.record.vectors.empty()) return true;
  return parts.content && !hit.record.document && !hit.record.metadata;
}

}  // namespace

// Chroma 1.5.9 finds the nearest first and fetches their records afterwards: one that is deleted in between stays
// in the answer, without document and metadata, and one that is written anew has the distance of what it was. Which of the
// bare hits are such: those that are gone now, or not bare any more.
Result<ChromaDriver::Torn> ChromaDriver::torn(const Schema& schema, const HitLists& lists, Included parts,
                                              Deadline deadline) {
  Torn torn;
  for (const auto& hits : lists) {
    for (const Hit& hit : hits) {
      if (bare(hit, parts)) torn.try_emplace(std::string(id_of(hit.record.key)));
    }
  }
  if (torn.empty()) return torn;
  std::vector<std::string_view> ids;
  for (const auto& [id, now] : torn) ids.push_back(id);
  auto there = read_ids(schema, ids, ReadParts{parts.vectors, true}, deadline);
  if (!there) return there.error();
  for (auto& record : *there) {
    const std::string id(id_of(record.key));
    if (record.document || record.metadata) {
      torn[id] = std::move(record);
    } else {
      torn.erase(id);
    }
  }
  return torn;
}

// The hits as the server finds them. While records go away under the search it is asked again; of what is torn even
// then the records are as they are now, and those that are gone are left out.
Result<HitLists> ChromaDriver::nearest(const Schema& schema, const Query& query, const GetBody& filter,
                                       uint64_t wanted, Deadline deadline) {
  const std::string body = query_body(query, filter, wanted);
  for (int again = 0;; ++again) {
    const auto answered = api_.post(schema.name, "query", body, deadline);
    if (!answered) return answered.error();
    auto lists = parse_hits(*answered, schema.vectors.empty() ? std::string() : schema.vectors[0].name);
    if (!lists) return lists.error();
    if (lists->size() != query.vectors.size()) {
      return Error(Code::corrupt, "the server answered for " + std::to_string(lists->size()) +
                                      " vectors where " + std::to_string(query.vectors.size()) + " vector" +
                                      (query.vectors.size() == 1 ? " was" : "s were") + " searched");
    }
    const auto torn_hits = torn(schema, *lists, filter.parts, deadline);
    if (!torn_hits) return torn_hits.error();
    if (torn_hits->empty()) return lists;
    if (again < asked_again_max) continue;
    for (auto& hits : *lists) {
      std::erase_if(hits, [&](Hit& hit) {
        const auto found = torn_hits->find(std::string(id_of(hit.record.key)));
        if (found == torn_hits->end()) return false;
        if (found->second) hit.record = *found->second;
        return !found->second;
      });
    }
    return lists;
  }
}

// As many as are wanted among those that are not nearer than the bound, which the server knows nothing of: it is asked for
// more ids and distances until there are enough of them, or no more hits. Then the records of those are read.
Result<HitLists> ChromaDriver::nearest_beyond(const Schema& schema, const Query& query, GetBody filter,
                                              uint64_t wanted, double bound, Deadline deadline) {
  const Included parts = std::exchange(filter.parts, Included(ReadParts{false, false}));
  const uint64_t most =
      std::min(near_hits_max, std::max<uint64_t>(1, 16 * near_hits_max / query.vectors.size()));
  for (uint64_t asked = wanted;; asked = std::min(asked * 4, most)) {
    auto lists = nearest(schema, query, filter, asked, deadline);
    if (!lists) return lists;
    bool enough = true;
    for (auto& hits : *lists) {
      const bool may_be_more = hits.size() >= asked;
      std::erase_if(hits, [&](const Hit& hit) { return hit.distance < bound; });
      enough = enough && (!may_be_more || hits.size() >= wanted);
      if (hits.size() > wanted) hits.resize(wanted);
    }
    if (enough) {
      auto read = read_hits(schema, *lists, parts, deadline);
      return read ? lists : Result<HitLists>(read.error());
    }
    if (asked >= most) {
      return unsupported("search.range_filter: among the nearest " + std::to_string(asked) +
                         " hits are too few beyond the bound");
    }
  }
}

// Those that are gone meanwhile are left out.
Result<void> ChromaDriver::read_hits(const Schema& schema, HitLists& lists, Included parts,
                                     Deadline deadline) {
  if (!parts.vectors && !parts.content) return {};
  std::set<std::string> ids;
  for (const auto& hits : lists) {
    for (const Hit& hit : hits) ids.insert(id_of(hit.record.key));
  }
  const std::vector<std::string_view> all(ids.begin(), ids.end());
  auto there = read_ids(schema, all, parts, deadline);
  if (!there) return there.error();
  std::map<std::string, const model::Record*> records;
  for (const auto& record : *there) records.emplace(id_of(record.key), &record);
  for (auto& hits : lists) {
    std::erase_if(hits, [&](Hit& hit) {
      const auto found = records.find(id_of(hit.record.key));
      if (found != records.end()) hit.record = *found->second;
      return found == records.end();
    });
  }
  return {};
}

Result<QueryResult> ChromaDriver::search(const Schema& schema, const Query& query, GetBody filter,
                                         const std::vector<model::Filter>& on_id, Deadline deadline) {
  const auto metric = schema.vectors.empty() ? model::Metric::l2 : schema.vectors[0].metric;
  if (query.metric && *query.metric != metric)
    return unsupported("search.metric: the collection measures otherwise");
  auto made_for = api_.metric(schema.name, deadline);
  if (made_for && *made_for != metric) {  // it may have been made again
    api_.forget(schema.name);
    made_for = api_.metric(schema.name, deadline);
  }
  if (!made_for) return made_for.error();
  if (*made_for != metric)
    return unsupported(
        "search.metric: '" + to_string(schema.name) +
        "' was made for another metric in Chroma, where it cannot change. While the source is the primary: delete it "
        "there, and `vmproxy validate --full --repair` makes and fills it anew");
  for (const auto& vector : query.vectors) {
    if (!std::holds_alternative<model::DenseVector>(vector))
      return unsupported("search.sparse: only dense vectors can be searched");
  }
  QueryResult result;
  result.hits.resize(query.vectors.size());
  const uint64_t wanted = query.top_k + query.search_offset;
  if (query.vectors.empty() || query.top_k == 0 || (filter.by_ids && filter.ids.empty())) return result;
  if (wanted > UINT32_MAX) return unsupported("search.top_k: more than 2^32 results");
  std::vector<std::string> ids;
  if (!on_id.empty()) {
    auto matching = matching_ids(query, filter, on_id, deadline);
    if (!matching) return matching.error();
    if (matching->size() > search_ids_max)
      return unsupported("search.ids: more than " + std::to_string(search_ids_max) + " ids match");
    if (matching->empty()) return result;
    ids = std::move(*matching);
    filter.by_ids = true;
    filter.ids.assign(ids.begin(), ids.end());
  }
  // Without a condition besides, the server breaks on ids that it has not. An empty $and is always true.
  const model::Value always = model::Object{{"$and", model::Array()}};
  if (filter.by_ids && filter.where == nullptr) filter.where = &always;
  filter.parts = parts_of(query);
  auto hits = query.range_filter
                  ? nearest_beyond(schema, query, filter, wanted, *query.range_filter, deadline)
                  : nearest(schema, query, filter, wanted, deadline);
  if (!hits) return hits.error();
  for (auto& list : *hits) {
    list.erase(list.begin(),
               list.begin() + static_cast<ptrdiff_t>(std::min<uint64_t>(query.search_offset, list.size())));
    if (query.radius) std::erase_if(list, [&](const Hit& hit) { return !(hit.distance < *query.radius); });
    for (auto& hit : list) keep_wanted(query, hit.record);
  }
  result.hits = std::move(*hits);
  return result;
}

}  // namespace vmproxy::protocols::chroma
