//! placeholder
use leadline_schemas::{avro::AvroError, frame::Output, request::Request};
/// p
pub trait Publish { /// p
 fn output(&self) -> Result<Output, AvroError>; }
impl Publish for Request { fn output(&self) -> Result<Output, AvroError> { Err(AvroError::Malformed{record:"", why: String::new()}) } }
