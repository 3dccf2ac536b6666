//! Wire: requests and answers of Kafka's protocol, as far as the admin client by token needs them.
//!
//! <https://kafka.apache.org/protocol>. Only versions before the compact ("flexible") encoding, which every broker from 2.3 to
//! 4.x takes: numbers are big-endian, a text has its length as 16 bits before it (-1 = null), bytes and arrays as 32 bits.

/// The largest answer that is read: the settings of a topic are some 5 KiB.
const ANSWER_BYTES_MAX: usize = 4 << 20;
const NULL: i16 = -1;

/// What is asked for, and in which version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    SaslHandshake,
    SaslAuthenticate,
    CreateTopics,
    DeleteRecords,
    DescribeConfigs,
    IncrementalAlterConfigs,
}

impl Api {
    /// Its key and the version that is spoken.
    const fn numbers(self) -> (i16, i16) {
        match self {
            Self::SaslHandshake => (17, 1),
            Self::SaslAuthenticate => (36, 1),
            Self::CreateTopics => (19, 4),
            Self::DeleteRecords => (21, 1),
            Self::DescribeConfigs => (32, 1),
            Self::IncrementalAlterConfigs => (44, 0),
        }
    }
}

/// A request that is being written; its size and head come first.
pub(super) struct Request {
    bytes: Vec<u8>,
}

impl Request {
    pub(super) fn new(api: Api, correlation: i32, client_id: &str) -> Self {
        let (key, version) = api.numbers();
        // The size is known at the end.
        Self { bytes: vec![0; 4] }.i16(key).i16(version).i32(correlation).text(client_id)
    }

    pub(super) fn i8(mut self, value: i8) -> Self {
        self.bytes.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn i16(mut self, value: i16) -> Self {
        self.bytes.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn i32(mut self, value: i32) -> Self {
        self.bytes.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn i64(mut self, value: i64) -> Self {
        self.bytes.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn flag(self, value: bool) -> Self {
        self.i8(i8::from(value))
    }

    pub(super) fn text(self, text: &str) -> Self {
        // Names and settings are short; one that is not would be refused as a malformed request.
        let mut request = self.i16(i16::try_from(text.len()).unwrap_or(i16::MAX));
        request.bytes.extend_from_slice(text.as_bytes());
        request
    }

    pub(super) fn blob(self, bytes: &[u8]) -> Self {
        let mut request = self.count(bytes.len());
        request.bytes.extend_from_slice(bytes);
        request
    }

    /// How many elements follow.
    pub(super) fn count(self, count: usize) -> Self {
        self.i32(i32::try_from(count).unwrap_or(i32::MAX))
    }

    /// As it goes to the broker.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let size = i32::try_from(self.bytes.len().saturating_sub(4)).unwrap_or(i32::MAX);
        for (byte, of_size) in self.bytes.iter_mut().zip(size.to_be_bytes()) {
            *byte = of_size;
        }
        self.bytes
    }
}

/// How many bytes an answer has whose size was read.
pub(super) fn answer_bytes(size: [u8; 4]) -> Result<usize, String> {
    let size = i32::from_be_bytes(size);
    usize::try_from(size)
        .ok()
        .filter(|bytes| *bytes <= ANSWER_BYTES_MAX)
        .ok_or_else(|| format!("an answer of {size} bytes: is it a Kafka broker?"))
}

/// An answer that is being read.
pub(super) struct Answer {
    bytes: Vec<u8>,
    at: usize,
}

impl Answer {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, at: 0 }
    }

    fn take(&mut self, count: usize) -> Result<&[u8], String> {
        let (from, to) = (self.at, self.at.saturating_add(count));
        self.at = to;
        self.bytes.get(from..to).ok_or_else(|| "a broker's answer ends early".to_owned())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| "a broker's answer ends early".to_owned())
    }

    pub(super) fn i8(&mut self) -> Result<i8, String> {
        self.array().map(i8::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Result<i16, String> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, String> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, String> {
        self.array().map(i64::from_be_bytes)
    }

    pub(super) fn text(&mut self) -> Result<Option<String>, String> {
        let length = self.i16()?;
        if length == NULL {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| format!("a text of {length} bytes"))?;
        let bytes = self.take(length)?.to_vec();
        String::from_utf8(bytes).map(Some).map_err(|error| format!("a broker's answer: {error}"))
    }

    /// How many elements follow; each has a byte at least.
    pub(super) fn count(&mut self) -> Result<usize, String> {
        let count = self.i32()?;
        let left = self.bytes.len().saturating_sub(self.at);
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= left)
            .ok_or_else(|| format!("{count} elements in {left} bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let request =
            Request::new(Api::CreateTopics, 7, "me").flag(true).i64(-2).count(1).text("é").blob(b"xy");
        let mut answer = Answer::new(request.finish());
        let size = answer.array::<4>().unwrap();
        assert_eq!(answer_bytes(size).unwrap(), answer.bytes.len() - 4);
        assert_eq!((answer.i16(), answer.i16(), answer.i32()), (Ok(19), Ok(4), Ok(7)));
        assert_eq!(answer.text().unwrap().as_deref(), Some("me"));
        assert_eq!((answer.i8(), answer.i64(), answer.count()), (Ok(1), Ok(-2), Ok(1)));
        assert_eq!(answer.text().unwrap().as_deref(), Some("é"));
        assert_eq!((answer.count(), answer.take(2).unwrap()), (Ok(2), b"xy".as_slice()));
        assert!(answer.i8().is_err(), "nothing is left");
    }

    #[test]
    fn an_answer_that_is_none_is_refused() {
        assert!(answer_bytes(*b"HTTP").is_err());
        assert!(answer_bytes((-1_i32).to_be_bytes()).is_err());
        assert_eq!(Answer::new(vec![0xff, 0xff]).text(), Ok(None));
        for bytes in [vec![], vec![0, 3, b'a'], vec![0xff, 0xfe], vec![0, 1, 0xff]] {
            assert!(Answer::new(bytes).text().is_err());
        }
        assert!(
            Answer::new(vec![0, 0, 0, 9, 1]).count().is_err(),
            "no room is made for what cannot be there"
        );
    }
}
