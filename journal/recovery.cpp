// What is read when a store is opened: the format, how far seqs go and that none is missing, the previous
// boot mark.
#include "base/fault.h"
#include "base/log.h"
#include "journal/durable_journal.h"

namespace vmproxy::journal {
namespace {

Error missing(Seq first, Seq last) {
  return {Code::corrupt, "journal: intents " + std::to_string(first) + " to " + std::to_string(last) +
                             " are missing. The replica may lack these writes: keep a copy of the "
                             "directory; copy and validate again with a new one"};
}

}  // namespace

Result<std::optional<std::string>> DurableJournal::meta(std::string_view name) {
  const std::string key = meta_key(name);
  auto value = store_.get(key);
  if (!value) return value.error();
  if (!*value) return std::optional<std::string>();
  auto payload = unseal(key, **value);
  if (!payload) return payload.error();
  return std::optional<std::string>(std::string(*payload));
}

Result<uint64_t> DurableJournal::meta_number(std::string_view name, uint64_t otherwise) {
  auto payload = meta(name);
  if (!payload) return payload.error();
  if (!*payload) return otherwise;
  const auto number = decode_number(**payload);
  if (!number) return Error(Code::corrupt, "journal: meta entry '" + std::string(name) + "' is no number");
  return *number;
}

void DurableJournal::put_meta(store::Batch& to, std::string_view name, std::string_view payload) {
  std::string key = meta_key(name);
  std::string value = encode_bytes(payload).finish(key);
  to.put(std::move(key), std::move(value));
}

Result<DurableJournal::Recovered> DurableJournal::recover() {
  Recovered result;
  auto format = meta_number("format", 0);
  if (!format) return format.error();
  if (*format > journal_format) {
    return Error(Code::unsupported,
                 "journal: it has format " + std::to_string(*format) + "; this vmproxy knows up to " +
                     std::to_string(journal_format) +
                     ". Use the vmproxy that wrote it, or a newer one; nothing was changed");
  }
  result.fresh = *format == 0;
  if (result.fresh) {
    bool anything = false;
    auto scanned = store_.scan(std::string(1, '\0'), std::string(1, '\x7f'), [&](auto, auto) {
      anything = true;
      return false;
    });
    if (!scanned) return scanned.error();
    if (anything) {
      return Error(Code::corrupt,
                   "journal: the directory holds data but no format number: it is damaged, or is not a "
                   "journal of vmproxy. Give another data_dir; nothing was changed");
    }
    return result;
  }
  auto trimmed = meta_number("trimmed", 1);
  if (!trimmed) return trimmed.error();
  auto bodies = meta_number("bodies", 1);
  if (!bodies) return bodies.error();
  auto marked = meta_number("next", 1);
  if (!marked) return marked.error();
  auto gap_number = meta_number("gap", 0);
  if (!gap_number) return gap_number.error();
  auto boot = meta("boot");
  if (!boot) return boot.error();
  if (*boot) {
    result.boot = decode_boot(**boot);
    if (!result.boot) return Error(Code::corrupt, "journal: the boot mark cannot be read");
  }
  auto first = first_entry(*trimmed);
  if (!first) return first.error();
  auto last = last_taken(*trimmed, *first, *marked, result.boot && result.boot->clean);
  if (!last) return last.error();
  result.next = *last + 1;
  result.trimmed = *trimmed;
  result.bodies_dropped = *bodies;
  result.gap_number = *gap_number;
  if (auto looked = find_lost_holes(result, *first, *marked); !looked) return looked.error();
  return result;
}

// What older versions could leave without an entry, though nothing of it is lost:
//   - a trim to a position inside a hole took the hole's entry away. It looks like intents that are missing at the beginning,
//     so it is a gap as well;
//   - appends that were refused while the journal was being closed had taken seqs, and the mark of the clean end stands
//     behind them. The next start, whose predecessor may not have ended cleanly, could not tell them from lost intents.
Result<void> DurableJournal::find_lost_holes(Recovered& found, Seq first, Seq marked) {
  if (first > found.trimmed && first < found.next && first <= marked) {
    found.lost_holes[found.trimmed] = Hole{first - 1};
    found.in_doubt =
        "the journal begins with intent " + std::to_string(first) + " although it was trimmed to " +
        std::to_string(found.trimmed) +
        " only: an older vmproxy did that to seqs without writes, but writes may be missing there";
  }
  if (!found.boot || !found.boot->clean || found.next == found.trimmed) return {};
  auto at_end = store_.get(seq_key(Kind::intent, found.next - 1));
  if (!at_end) return at_end.error();
  if (*at_end) return {};
  auto last = last_contiguous(first != 0 && first <= marked ? first : found.trimmed);
  if (!last) return last.error();
  if (*last + 1 < found.next) {
    found.lost_holes[*last + 1] = Hole{found.next - 1};
    log::info("journal: seqs that were taken while it was closed stand for no writes",
              {{"first", *last + 1}, {"last", found.next - 1}});
  }
  return {};
}

// The last seq that is taken. The mark "next" spares the way from the trimmed end: it stands where an intent or a hole
// stands, or, after a clean end, behind all of them. Older versions could leave it inside a hole, or behind the last
// intent: where nothing stands, the way from the trimmed end tells which. That way begins at the first entry when the mark
// vouches that seqs went beyond it (find_lost_holes() says more).
Result<Seq> DurableJournal::last_taken(Seq trimmed, Seq first, Seq marked, bool clean) {
  const Seq from = std::max(trimmed, marked);
  if (clean || from == trimmed) return last_contiguous(from);
  auto at_mark = store_.get(seq_key(Kind::intent, from));
  if (!at_mark) return at_mark.error();
  if (*at_mark) return last_contiguous(from);
  auto last = last_contiguous(first != 0 && first <= from ? first : trimmed);
  if (last && *last + 1 < from) return missing(*last + 1, from - 1);
  return last;
}

// The first seq at or above `from` where an intent or a hole stands; 0: none.
Result<Seq> DurableJournal::first_entry(Seq from) {
  Seq first = 0;
  auto scanned = store_.scan(seq_key(Kind::intent, from), after_prefix("i"), [&](auto key, auto) {
    first = seq_of(key).value_or(0);
    return false;
  });
  if (!scanned) return scanned.error();
  return first;
}

// The last seq of the unbroken run that begins at `from`; from - 1 when there is none. Heads only.
Result<Seq> DurableJournal::last_contiguous(Seq from) {
  Seq expected = from;
  std::optional<Error> broken;
  auto scanned = store_.scan(seq_key(Kind::intent, from), after_prefix("i"), [&](auto key, auto value) {
    auto entry = decode_head(key, value);
    if (!entry) {
      broken = entry.error();
      return false;
    }
    const Seq seq = *seq_of(key);
    if (seq != expected) {
      broken = missing(expected, seq - 1);
      return false;
    }
    const auto* hole = std::get_if<Hole>(&*entry);
    expected = (hole ? hole->last : seq) + 1;
    return true;
  });
  if (!scanned) return scanned.error();
  if (broken) return *broken;
  return expected - 1;
}

// Opens the time in which a crash must be noticed (or ends it, `clean`), together with gaps and lost holes found just
// before.
Result<void> DurableJournal::write_boot_mark(const std::vector<Gap>& found, bool clean,
                                             const std::map<Seq, Hole>& holes) {
  store::Batch batch;
  put_meta(batch, "format", encode_number(journal_format));
  put_meta(batch, "boot", encode_boot({store_.boot_id(), clean, options_.durability, wall_us()}));
  put_meta(batch, "gap", encode_number(gap_number_));
  for (const auto& [first, hole] : holes) {
    std::string key = seq_key(Kind::intent, first);
    std::string value = encode_hole(hole).finish(key);
    batch.put(std::move(key), std::move(value));
  }
  std::map<uint64_t, Gap> recorded;
  {
    Lock hold(mutex_);
    // Not next_: who came while it was closed got a seq and an error, and is not on the disk.
    if (clean) put_meta(batch, "next", encode_number(acknowledged_ + 1));
    recorded = slot_gaps_;
  }
  for (const auto& gap : found) recorded[gap.number] = gap;
  for (const auto& [number, gap] : recorded) {
    Row row = row_of(gap);
    std::string key = row_key(row.table, row.key);
    std::string value = encode_bytes(*row.value).finish(key);
    batch.put(std::move(key), std::move(value));
  }
  if (const auto fault = VMPROXY_FAULT_HIT("boot.mark"); fault.broken()) return fault.disk_error();
  if (auto committed = store_.commit(batch, store::Sync::yes); !committed) return committed;
  VMPROXY_FAULT("boot.marked");
  std::lock_guard one(slot_mutex_);
  {
    Lock hold(mutex_);
    for (const auto& [number, gap] : recorded) gaps_[number] = gap;
    if (slot_gaps_.empty() && !store_.doubt()) return {};
    slot_gaps_.clear();
  }
  auto emptied = store_.write_slot({});
  VMPROXY_FAULT("boot.slot");
  return emptied;
}

}  // namespace vmproxy::journal
