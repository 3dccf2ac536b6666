//! Everything of leadline that touches the outside.
//!
//! [`contract`] says, one page each, what the engine expects of a log, a state store, a disk, ...; every other
//! module is a folder that fulfils one of them. Heavy clients (Kafka, Spanner, Google Cloud) are crates of their
//! own behind features, so that the embedded binary builds without them.

pub mod api_http;
pub mod audio;
pub mod bearer;
pub mod blob_folder;
#[cfg(feature = "gcs")]
pub mod blob_google;
pub mod blob_retention;
pub mod callrail;
pub mod clock_system;
pub mod contract;
pub mod crm;
pub mod disk_folder;
pub mod disk_room;
#[cfg(feature = "simulation")]
pub mod disk_simulated;
pub mod http_client;
pub mod http_server;
pub mod log_embedded;
#[cfg(feature = "kafka")]
pub mod log_kafka;
#[cfg(feature = "simulation")]
pub mod log_memory;
pub mod log_registry;
pub mod log_spool;
pub mod oauth;
pub mod provider_cached;
pub mod provider_chat;
pub mod provider_gemini;
pub mod provider_http;
pub mod provider_metered;
pub mod provider_recording;
pub mod provider_speech_command;
pub mod provider_speech_google;
pub mod provider_speech_openai;
pub mod scoring;
pub mod secrets_file;
pub mod sink_email;
pub mod sink_http;
pub mod sink_hubspot;
pub mod sink_pipedrive;
pub mod sink_salesforce;
pub mod sink_slack;
pub mod sink_webhook;
pub mod source_audio;
pub mod source_http;
pub mod speech;
pub mod state_fjall;
pub mod state_memory;
#[cfg(feature = "scylla")]
pub mod store_cassandra;
pub mod store_shadow;
#[cfg(feature = "spanner")]
pub mod store_spanner;
pub mod store_sqlite;

#[cfg(feature = "simulation")]
pub mod blob_memory;
#[cfg(feature = "simulation")]
pub mod conformance;
#[cfg(feature = "simulation")]
pub mod store_memory;
