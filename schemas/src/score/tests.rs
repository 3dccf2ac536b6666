use super::*;

#[test]
fn input_is_read_leniently() {
    let line = r#"{"id": 7, "channel": "SMS", "tenant": {"trade": ["kitchen", "magic"], "service_area": {"cities": "Reno",
        "postcodes": [89501]}, "min_budget": "$15,000"}, "meta": null, "transcript": [{"speaker": "Customer", "text": "hi"},
        17, "plain"], "form_data": null, "novel": true}"#;
    let input: ScoreInput = serde_json::from_str(line).unwrap();
    assert_eq!(input.channel, Some(Channel::Text));
    assert_eq!(input.tenant.trade, [ProjectType::Kitchen]);
    assert_eq!(input.tenant.service_area.postcodes, ["89501"]);
    assert_eq!(input.tenant.min_budget, Some(15_000));
    assert_eq!(input.transcript.len(), 3, "a malformed turn keeps its place");
    assert_eq!(input.transcript[0].speaker, Some(Speaker::Caller));
    assert_eq!(serde_json::from_str::<ScoreInput>("{}").unwrap(), ScoreInput::default());
}

#[test]
fn wire_names_and_bands_are_those_of_the_interface() {
    assert_eq!(serde_json::to_string(&Timeline::Now0To30Days).unwrap(), r#""now_0_30d""#);
    assert_eq!(serde_json::to_string(&ProjectType::AdditionAdu).unwrap(), r#""addition_adu""#);
    let bands = [0, 39, 40, 59, 60, 79, 80, 100].map(|score| Band::of(score).as_str());
    assert_eq!(bands, ["cold", "cold", "nurture", "nurture", "warm", "warm", "hot", "hot"]);
}
