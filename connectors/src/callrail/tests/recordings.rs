//! Recordings: by every kind of address, and from nowhere else.

use super::*;

impl Scene {
    async fn audio(&self, call: &str, address: &str) -> Result<Vec<u8>, CallRailError> {
        let response = self.client.open_recording(&self.access, call, address).await?;
        Ok(response.bytes().await.unwrap().to_vec())
    }
}

#[tokio::test]
async fn a_recording_comes_by_every_kind_of_address_and_the_key_stays_with_the_api() {
    let scene = scene();
    scene.calls(2);
    let id = "CAL00000000000000000000000000000000";
    scene.double.record(id, b"ID3 the audio".to_vec());
    let of_api = scene.double.the_call(id).unwrap()["recording"].as_str().unwrap().to_owned();
    let of_webhook = scene.double.body(id)["recording"].as_str().unwrap().to_owned();
    assert_ne!(of_api, of_webhook);
    for address in [&of_api, &of_webhook] {
        assert_eq!(scene.audio(id, address).await.unwrap(), b"ID3 the audio");
    }
    // A link of a webhook that came yesterday.
    scene.double.expire_links();
    assert_eq!(scene.audio(id, &of_webhook).await.unwrap(), b"ID3 the audio");
    scene.double.hipaa(ACCOUNT);
    assert_eq!(scene.audio(id, &of_api).await.unwrap(), b"ID3 the audio");
    for asked in scene.double.asked() {
        let is_api = asked.path.starts_with("/v3/");
        assert_eq!(asked.authorization.is_some(), is_api, "the key was shown to {}", asked.path);
    }
    // Not every call has one.
    let without = "CAL00000000000000000000000000000001";
    let address = of_api.replace(id, without);
    assert!(matches!(scene.audio(without, &address).await, Err(CallRailError::NotFound { .. })));
}

#[tokio::test]
async fn a_recording_is_fetched_from_nowhere_else() {
    let scene = scene();
    scene.calls(1);
    let id = "CAL00000000000000000000000000000000";
    scene.double.record(id, b"ID3".to_vec());
    let link = scene.double.body(id)["recording"].as_str().unwrap().to_owned();
    for elsewhere in [
        "http://127.0.0.2/x",
        "http://169.254.169.254/latest/meta-data",
        "http://localhost/x",
        "https://evil.example/x",
        "file:///etc/passwd",
        "/calls/loop",
    ] {
        scene.double.redirect_to(elsewhere);
        let why = scene.audio(id, &link).await.unwrap_err().to_string();
        assert!(!why.contains("access_key") && !why.contains("Signature"), "{why}");
        assert!(scene.audio(id, elsewhere).await.is_err(), "{elsewhere}");
    }
}
