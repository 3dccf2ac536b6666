//! What is asked of a call beyond the 17 fields of every answer (v3 reference, "Additional User Requested Response
//! Fields").

/// For listings and single calls alike: all that decode has a place for, and what people look for in a call. A field that
/// CallRail does not know costs the whole answer, so only those that its reference lists stand here.
pub(super) const LISTED: &str = "call_type,campaign,company_id,company_name,company_time_zone,created_at,device_type,\
    fbclid,first_call,gclid,good_lead_call_id,good_lead_call_time,keywords,landing_page_url,last_requested_url,\
    lead_status,medium,msclkid,note,person_id,prior_calls,referrer_domain,referring_url,source,source_name,tags,\
    total_calls,tracker_id,transcription,utm_campaign,utm_content,utm_medium,utm_source,utm_term,value";

/// Only a single call has it: the transcript by turns.
pub(super) const SINGLE_ONLY: &str = "conversational_transcript";
