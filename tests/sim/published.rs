//! What a consumer of the metrics' topic sees.

use std::collections::BTreeMap;

use bytes::Bytes;
use leadline_schemas::frame::Output;
use leadline_schemas::window::WindowMetrics;
use leadline_schemas::{Topic, avro};

/// The windows that were published: what a consumer of the topic, who keeps the highest revision, has of them.
#[derive(Default)]
pub struct Published {
    windows: BTreeMap<Bytes, WindowMetrics>,
    /// The first that says something else under a revision that was used before.
    pub wrong: Option<String>,
}

impl Published {
    pub fn take(&mut self, outputs: &[Output]) {
        for output in outputs.iter().filter(|output| output.topic == Topic::Metrics) {
            let window: WindowMetrics = avro::decode(&output.value).unwrap();
            let known = self.windows.entry(output.key.clone()).or_insert_with(|| window.clone());
            if known.revision == window.revision && *known != window && self.wrong.is_none() {
                self.wrong = Some(format!("two windows of one revision: {known:?}, {window:?}"));
            }
            if known.revision < window.revision {
                *known = window;
            }
        }
    }
}
