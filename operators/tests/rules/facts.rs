//! Names, places, ways to reach the caller, and facts.

use super::*;

#[test]
fn the_callers_own_name_is_found_and_nobody_elses() {
    let rows = [
        ("c: Hi, my name is Rachel Kim and I need a roof.", Some("Rachel Kim")),
        ("c: Hi Dana, this is Mark Evans, I need a roof.", Some("Mark Evans")),
        ("c: Yeah this is Tom. I need a new roof.", Some("Tom")),
        ("c: I need a new roof. / a: Can I get your name? / c: Sure, it's Linda Park.", Some("Linda Park")),
        ("c: I need a new roof. / a: Name? / c: Gus", Some("Gus")),
        (
            "c: I need a new roof. / a: And who am I speaking with? / c: Deshawn Tillery.",
            Some("Deshawn Tillery"),
        ),
        ("c: i need a new roof / a: whats your name / c: patricia gomez", Some("patricia gomez")),
        ("c: i need a roof / a: and your name / c: its darnell", Some("darnell")),
        ("c: I need a roof. / a: Your name? / c: Mrs. Albright.", Some("Albright")),
        ("c: I need a roof. / a: Name and number? / c: Bo Jensen, 614-555-0122.", Some("Bo Jensen")),
        ("c: I need a roof. My number is 614 555 0144, ask for Nate.", Some("Nate")),
        ("c: Hola, habla Luis Ortega, necesito un techo.", Some("Luis Ortega")),
        ("c: Me llamo Carmen y quiero remodelar la cocina.", Some("Carmen")),
        ("c: Hi, I'm calling about a roof.", None),
        ("c: Hi Dana, I'm interested in a roof.", None),
        ("c: Hi, this is about a new roof.", None),
        ("c: This is urgent, my roof is leaking.", None),
        ("c: I talked to Steve about a roof.", None),
        ("c: My husband Dave wants a new roof.", None),
        ("c: I'm in Dublin and I want a new roof.", None),
        ("c: I'm Italian so I want a big kitchen.", None),
        ("c: It's Tuesday today, right? I want a kitchen.", None),
        ("c: Thanks Dana. I want a kitchen.", None),
    ];
    check(&rows, |script| {
        call(&format!("a: Buckeye Remodeling, this is Dana. / {script}"))
            .extracted
            .caller_name
            .as_deref()
            .map(str::to_owned)
            .map(leak)
    });
}

#[test]
fn the_place_is_the_propertys_and_decides_the_area() {
    use Class::{Lead, OutOfArea};
    let rows = [
        ("a: What city? / c: Dublin.", (Some("Dublin"), Lead)),
        ("a: What city? / c: I'm over in Westerville.", (Some("Westerville"), Lead)),
        ("a: Where are you located? / c: Cleveland.", (Some("Cleveland"), OutOfArea)),
        ("a: where you at / c: toledo", (Some("Toledo"), OutOfArea)),
        ("a: Okay. / c: The house is in Cincinnati.", (Some("Cincinnati"), OutOfArea)),
        ("a: Okay. / c: We live in Chicago but the house is in Dublin.", (Some("Dublin"), Lead)),
        ("a: Okay. / c: I just moved here from Denver. I'm in Columbus now.", (Some("Columbus"), Lead)),
        ("a: Okay. / c: My brother in Pittsburgh recommended you.", (None, Lead)),
        ("a: Zip code? / c: four three two one five", (None, Lead)),
        ("a: Zip code? / c: 90210", (None, OutOfArea)),
        ("a: Are you in Dublin? / c: Yes.", (Some("Dublin"), Lead)),
        ("a: What's the address? / c: 12 Dublin Avenue, Columbus.", (Some("Columbus"), Lead)),
        ("a: What part of town? / c: Near the zoo.", (None, Lead)),
        ("a: Where's the property? / c: It's in Mansfield, Ohio.", (Some("Mansfield"), OutOfArea)),
    ];
    check(&rows, |script| {
        let output = call(&format!("a: Buckeye. / c: I want to redo my kitchen. / {script}"));
        (output.extracted.city.map(leak), output.class)
    });
}

#[test]
fn phones_emails_and_addresses_are_read_as_said() {
    let reach = |words: &str| {
        let extracted = voicemail(&format!("Hi, I need a new kitchen. {words}")).extracted;
        (extracted.phone.map(leak), extracted.email.map(leak), extracted.address.map(leak))
    };
    let rows = [
        ("Call me at 614-555-0142.", (Some("6145550142"), None, None)),
        ("It's six one four, five five five, oh one four two.", (Some("6145550142"), None, None)),
        ("My number is 614 555 01 42, again 614 555 0142.", (Some("6145550142"), None, None)),
        ("Email is john at gmail dot com.", (None, Some("john@gmail.com"), None)),
        ("Email me, j dot smith 22 at yahoo dot com", (None, Some("j.smith22@yahoo.com"), None)),
        ("my email is mary_jones@example.co.uk", (None, Some("mary_jones@example.co.uk"), None)),
        ("It's sara underscore lee at my company dot net", (None, Some("sara_lee@mycompany.net"), None)),
        ("mi correo es ana punto ruiz arroba hotmail punto com", (None, Some("ana.ruiz@hotmail.com"), None)),
        ("I'm at 4412 Willow Bend Drive.", (None, None, Some("4412 Willow Bend Drive"))),
        (
            "The house is at 77 North Maple Street, apartment 4.",
            (None, None, Some("77 North Maple Street, apartment 4")),
        ),
        ("im at nine fifteen garrison street", (None, None, Some("nine fifteen garrison street"))),
        ("It's a 2 story with 3 baths.", (None, None, None)),
        ("We're about 20 minutes down the road.", (None, None, None)),
    ];
    check(&rows, reach);
}

#[test]
fn facts_are_true_only_where_they_are_said() {
    let facts = |words: &str| {
        let extracted =
            call(&format!("a: Buckeye. / c: I want a new roof. / a: Okay. / c: {words}")).extracted;
        [
            ("built", extracted.year_built.map(i64::from)),
            ("hoa", extracted.hoa.map(i64::from)),
            ("claim", extracted.insurance_claim.map(i64::from)),
            ("loan", extracted.financing_interest.map(i64::from)),
            ("bids", extracted.competing_bids.map(i64::from)),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| format!("{name}={value}")))
        .collect::<Vec<_>>()
        .join(" ")
    };
    let rows = [
        ("The house was built in 1962.", "built=1962"),
        ("It's a 1926 bungalow.", "built=1926"),
        ("It's from nineteen seventy four.", "built=1974"),
        ("We bought it in 2015.", ""),
        ("The furnace is from 1998.", ""),
        ("We have an HOA.", "hoa=1"),
        ("There's no HOA.", "hoa=0"),
        ("I filed a claim with State Farm.", "claim=1"),
        ("The adjuster came yesterday.", "claim=1"),
        ("It's not an insurance thing.", ""),
        ("Are you licensed and insured?", ""),
        ("Do you offer financing?", "loan=1"),
        ("We're paying cash, no financing.", ""),
        ("I'm getting a few other quotes.", "bids=1"),
        ("You're the first one I've called.", ""),
        ("Another contractor quoted me twelve.", "bids=1"),
    ];
    let rows: Vec<(&str, String)> = rows.iter().map(|(words, facts)| (*words, (*facts).to_owned())).collect();
    check(&rows, facts);
}
