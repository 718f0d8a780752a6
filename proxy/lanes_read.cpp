// What lanes bring over: the journaled images, and what READs of the primary find.
#include <unordered_set>
#include <utility>

#include "base/fault.h"
#include "base/rule.h"
#include "proxy/images.h"
#include "proxy/lanes.h"

namespace vmproxy::proxy {

Result<Lanes::States> Lanes::states(const Collection& collection, const std::vector<Entry>& entries) {
  States found;
  std::vector<model::Key> reads;
  journal::Seq loaded = 0;
  Result<std::vector<journal::Image>> images = Error(Code::not_found, "none");
  for (const Entry& entry : entries) {
    const auto key = model::decode_key(entry.key);
    if (!key) return Error(Code::corrupt, "a lane entry has no valid key");
    // H46: only the former primary may have it; reading this one would end in deleting it there. What was written to it since
    // is in the journal.
    const auto at_risk = [&] {
      return VMPROXY_RULE("forced.frozen") && parts_.quarantine.at_risk(entry.collection, entry.key);
    };
    if (entry.image || (entry.journaled && at_risk())) {
      if (loaded != entry.seq) {
        loaded = entry.seq;
        auto head = parts_.journal.head(entry.seq);
        auto body = parts_.journal.body(entry.seq);
        images = head && body ? images_of(*head, *body, parts_.dialect, *parts_.collections.catalog())
                              : Result<std::vector<journal::Image>>(head ? body.error() : head.error());
      }
      // The journal alone has the state of what is at risk: what it does not give just now, it is asked for again.
      if (!images && images.error().retryable() && at_risk())
        return images.error().within("reading the journal");
      // Of all else an image that cannot be read again is no loss: the primary has the state.
      if (images && entry.item < images->size() && (*images)[entry.item].key == *key) {
        auto& image = (*images)[entry.item];
        if (image.record) {
          found.records.push_back(*image.record);
        } else {
          found.absent.push_back(*key);
        }
        continue;
      }
    }
    if (at_risk()) continue;
    reads.push_back(*key);
  }
  if (reads.empty()) return found;
  if (VMPROXY_FAULT_HIT("lane.reading").fails)
    return Error(Code::unavailable, "reading the primary: it cannot serve");
  const TimePoint began = parts_.clock.now();
  auto read = parts_.transfer.read_each(primary_, collection, reads, began + options_.apply_timeout);
  const Duration took = parts_.clock.now() - began;
  if (!read) {
    reads_batch_.failed(reads.size(), took);
    return read.error().within("reading the primary");
  }
  reads_batch_.answered(reads.size(), took);
  VMPROXY_FAULT("lane.read");
  std::unordered_set<std::string> told;
  for (auto& record : read->records) {
    told.insert(model::encode(record.key));
    found.records.push_back(std::move(record));
  }
  for (auto& refusal : read->refused) {
    std::string key = model::encode(reads[refusal.index]);
    told.insert(key);
    found.unread.emplace(std::move(key), std::move(refusal.error));
  }
  for (auto& key : reads) {
    if (!told.contains(model::encode(key))) found.absent.push_back(std::move(key));
  }
  return found;
}

void Lanes::set_aside(Lane& lane, const Collection& collection,
                      const std::unordered_map<std::string, Error>& unread, std::vector<Entry>& entries) {
  if (!same_life(collection)) return;  // H20: read again, of the life that it has now
  std::vector<Entry> aside, others;
  for (Entry& entry : entries) (unread.contains(entry.key) ? aside : others).push_back(std::move(entry));
  entries = std::move(others);
  const std::string side = replica() == Side::target ? "target" : "source";
  for (const Entry& entry : aside) {
    parts_.quarantine.add_unread(collection.key, entry.key,
                                 unread.at(entry.key).message +
                                     "; what was written to this record is not on the " + side +
                                     " until `vmproxy quarantine retry` has read it again",
                                 primary_);
  }
  finished(lane, aside);
}

bool Lanes::gone(const Collection& collection) {
  if (primary_ != Side::source) return false;
  {
    std::lock_guard hold(mutex_);
    if (paused_.contains(collection.key)) return false;  // a change of collections is under way: it will tell
  }
  // H60: dropped by a call whose answer a crash took away, or beside the proxy.
  auto asked = parts_.collections.refresh_one(collection.name, parts_.clock.in(options_.apply_timeout));
  if (!asked || same_life(collection)) return false;
  VMPROXY_FAULT("lane.gone");
  for (auto& lane : lanes_) lane->queue.demote_images();
  parts_.journal.record_gap(
      "collection '" + collection.key +
      "' was dropped or created again and nobody told the proxy; the replica may hold records of its former life");
  return true;
}

}  // namespace vmproxy::proxy
