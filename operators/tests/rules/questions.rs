//! The company's questions, in many words.

use super::money::exactly;
use super::*;

#[test]
fn the_companys_questions_are_known_in_many_words() {
    let budget = [
        "Do you have a budget?",
        "What's your budget looking like?",
        "Have you set a budget for this?",
        "What kind of budget are we working with?",
        "How much were you wanting to spend?",
        "What are you hoping to spend?",
        "What price range are you in?",
        "Any idea what you'd like to spend?",
        "Did you have a number in mind?",
        "Where do you need to be price wise?",
        "What were you thinking in terms of cost?",
        "And budget?",
        "Is there a budget you'd like to stay within?",
        "What are you comfortable spending?",
        "How much have you set aside for the project?",
        "What would you like to invest in this?",
        "Have you thought about what you'd like to spend?",
        "Do you have a ballpark in mind?",
        "So what's the budget on this?",
        "What's the max you'd want to spend?",
        "ok and whats ur budget",
        "and what are you looking to keep it under",
        "¿Cuál es su presupuesto?",
        "¿Cuánto piensa gastar?",
        "¿Tiene algún presupuesto en mente?",
        "¿Más o menos cuánto quiere invertir?",
        "Do you have an amount in mind?",
        "What dollar figure are you targeting?",
        "What's your spending limit?",
        "How much can you spend?",
    ];
    check(&budget.map(|question| (question, exactly(40_000))), |question| {
        let output = asked(question, "Probably forty.");
        (output.budget_min, output.budget_max)
    });
    let place = [
        "Where are you located?",
        "What city are you in?",
        "Where's the house?",
        "What part of town?",
        "Where do you live?",
        "And the property address?",
        "What's your zip code?",
        "Whereabouts are you?",
        "Where at?",
        "Which area is the home in?",
        "where is the project",
        "City?",
        "Can I get the address?",
        "Where would we be coming to?",
        "What town is that in?",
        "¿En qué ciudad vive?",
        "¿Dónde está la casa?",
        "¿Por qué zona está?",
    ];
    check(&place.map(|question| (question, Some("Knoxville"))), |question| {
        asked(question, "Knoxville.").extracted.city.map(leak)
    });
    let name = [
        "Can I get your name?",
        "And your name?",
        "Who am I speaking with?",
        "What's your first and last name?",
        "Name please?",
        "May I ask who's calling?",
        "And who is this?",
        "What name should I put this under?",
        "Could you give me your name?",
        "whats ur name",
        "Your full name?",
        "¿Cómo se llama?",
        "¿Me da su nombre?",
        "¿Con quién tengo el gusto?",
        "Okay, and you are?",
        "Who do I have on the line?",
    ];
    let renaldo = Some("Renaldo Fitch");
    check(&name.map(|question| (question, renaldo)), |question| {
        asked(question, "Renaldo Fitch.").extracted.caller_name.map(leak)
    });
    let time = [
        "When would you like to start?",
        "What's your timeline?",
        "How soon do you need this done?",
        "When are you thinking?",
        "What time frame are you looking at?",
        "Do you have a start date in mind?",
        "Is there a deadline?",
        "When were you hoping to get going?",
        "And timing?",
        "When do you want it finished?",
        "How quickly are you trying to move?",
        "¿Para cuándo lo quiere?",
        "¿Cuándo le gustaría empezar?",
        "when u want it done",
        "What are you thinking timing wise?",
    ];
    check(&time.map(|question| (question, Some("1_3mo"))), |question| {
        asked(question, "Maybe in 2 or 3 months.").timeline.map(|timeline| timeline.as_str())
    });
    let decision = [
        "Is anyone else involved in the decision?",
        "Who else would be making this decision?",
        "Will anybody else need to sign off?",
        "Anyone else we should include?",
        "Besides yourself, is there anybody else who weighs in?",
        "Are there any other decision makers?",
        "Is there someone else who'd need to approve it?",
    ];
    check(&decision.map(|question| (question, Some("sole"))), |question| {
        asked(question, "No.").decision_maker.map(|maker| maker.as_str())
    });
}
