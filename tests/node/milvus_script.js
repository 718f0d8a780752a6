// The main calls of the official Milvus SDK for Node against one address; prints [[name, answer], ...] as JSON.
//   NODE_PATH=... node milvus_script.js 127.0.0.1:19530
"use strict";
const { MilvusClient, DataType } = require("@zilliz/milvus2-sdk-node");

// What differs between two runs against two servers of the same kind: ids and times that the server makes.
const volatileKeys = new Set(["timestamp", "collectionID", "db_id", "created_timestamp", "created_utc_timestamp",
  "created_timestamps", "created_utc_timestamps", "update_timestamp", "update_timestamp_str", "partitionIDs", "indexID",
  "id_timestamp", "session_ts", "physical_channel_names", "virtual_channel_names", "flush_coll_segIDs", "coll_segIDs",
  "coll_seal_times", "coll_flush_ts", "channel_cps", "properties_timestamp", "fieldID", "build_time", "server_info",
  "identifier"]);

function shownError(error) {
  return { error: error.constructor.name, code: error.code, message: plain(error.message) };
}

function plain(value) {
  if (typeof value === "string") return value.replace(/(?<!\d)[1-9]\d{17,18}(?!\d)/g, "<id>").replace(/127\.0\.0\.1:\d+/g, "<address>");
  if (value === null || value === undefined || typeof value !== "object") return value;
  if (value instanceof Error) return shownError(value);  // some calls give it back as their answer
  if (Buffer.isBuffer(value)) return value.toString("hex");
  if (Array.isArray(value)) return value.map(plain);
  if (ArrayBuffer.isView(value)) return Array.from(value);
  const result = {};
  for (const [name, member] of Object.entries(value)) {
    if (name === "data" && member && typeof member === "object" && member.id && typeof member.id === "string" && /^[1-9]\d{17,18}$/.test(member.id)) {
      result[name] = { ...plain(member), id: "<id>" };
    } else if (name === "id" && typeof member === "string" && /^[1-9]\d{17,18}$/.test(member)) {
      result[name] = "<id>";
    } else if (!volatileKeys.has(name)) {
      result[name] = plain(member);
    }
  }
  return result;
}

async function main(address) {
  const answers = [];
  async function call(name, make) {
    let shown;
    try {
      shown = plain(await make());
    } catch (error) {
      shown = shownError(error);
    }
    answers.push([name, shown === undefined ? null : shown]);
  }
  const client = new MilvusClient({ address, ssl: false });
  await client.connectPromise;
  const row = (n) => ({ id: n, vector: [n, (n * n) / 16, (n % 3) / 4, 1], title: `title ${n}`, year: 1990 + n, extra: `dynamic ${n}` });
  const rows = (first, last) => Array.from({ length: last - first }, (_, i) => row(first + i));
  const books = { collection_name: "js_books" };
  const at = [3.1, 0.7, 0.1, 1.0];

  await call("version", () => client.getVersion());
  await call("health", () => client.checkHealth());
  await call("no collections", () => client.listCollections());
  await call("create", () => client.createCollection({
    ...books, enable_dynamic_field: true, consistency_level: "Strong",
    fields: [
      { name: "id", data_type: DataType.Int64, is_primary_key: true, autoID: false },
      { name: "vector", data_type: DataType.FloatVector, dim: 4 },
      { name: "title", data_type: DataType.VarChar, max_length: 64 },
      { name: "year", data_type: DataType.Int32 },
    ],
  }));
  await call("create index", () => client.createIndex({ ...books, field_name: "vector", index_name: "by_vector", index_type: "FLAT", metric_type: "L2" }));
  await call("describe index", () => client.describeIndex(books));
  await call("load", () => client.loadCollectionSync(books));
  await call("load state", () => client.getLoadState(books));
  await call("has", () => client.hasCollection(books));
  await call("describe", () => client.describeCollection(books));
  await call("insert", () => client.insert({ ...books, data: rows(1, 21) }));
  await call("upsert", () => client.upsert({ ...books, data: [{ ...row(3), title: "changed" }, row(30)] }));
  await call("flush", () => client.flushSync({ collection_names: ["js_books"] }));
  await call("get", () => client.get({ ...books, ids: [1, 2, 3], output_fields: ["id", "title", "year", "extra"] }));
  await call("query", () => client.query({ ...books, filter: "year > 2005 and title like 'title 1%'", output_fields: ["id", "title", "extra"] }));
  await call("query vector", () => client.query({ ...books, filter: "id == 7", output_fields: ["id", "vector"] }));
  await call("count", () => client.count(books));
  await call("search", () => client.search({ ...books, data: [at], limit: 4, output_fields: ["title", "extra"] }));
  await call("search filter", () => client.search({ ...books, data: [at], limit: 3, filter: "id in [5, 6, 7]" }));
  await call("search two", () => client.search({ ...books, data: [at, [9, 5, 0, 1]], limit: 2 }));
  await call("delete ids", () => client.delete({ ...books, ids: [1, 2] }));
  await call("delete filter", () => client.delete({ ...books, filter: "year > 2008" }));
  await call("after delete", () => client.query({ ...books, filter: "id > 0", output_fields: ["id"] }));
  await call("statistics", async () => (await client.getCollectionStatistics(books)).status);
  await call("partition", () => client.createPartition({ ...books, partition_name: "old" }));
  await call("partitions", () => client.showPartitions(books));
  await call("has partition", () => client.hasPartition({ ...books, partition_name: "old" }));
  await call("alias", () => client.createAlias({ ...books, alias: "js_library" }));
  await call("by alias", () => client.query({ collection_name: "js_library", filter: "id == 5", output_fields: ["title"] }));
  await call("drop alias", () => client.dropAlias({ alias: "js_library" }));
  await call("wrong dimension", () => client.insert({ ...books, data: [{ ...row(50), vector: [1, 2] }] }));
  await call("unknown collection", () => client.query({ collection_name: "nothing", filter: "id > 0" }));
  await call("bad expression", () => client.query({ ...books, filter: "id >" }));
  await call("databases", () => client.listDatabases());
  await call("release", () => client.releaseCollection(books));
  await call("search released", () => client.search({ ...books, data: [at], limit: 1 }));
  await call("drop", () => client.dropCollection(books));
  await call("after drop", () => client.hasCollection(books));
  await client.closeConnection();
  process.stdout.write(JSON.stringify(answers));
}

main(process.argv[2]).then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
