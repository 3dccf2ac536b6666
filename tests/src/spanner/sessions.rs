//! Sessions: a name below a database. They are never dropped here.

use googleapis_tonic_google_spanner_v1::google::spanner::v1::{
    CreateSessionRequest, GetSessionRequest, Session,
};
use tonic::Status;

use super::server::Server;

impl Server {
    pub(super) fn create_session(&self, request: CreateSessionRequest) -> Result<Session, Status> {
        self.database(&request.database)?;
        let template = request.session.unwrap_or_default();
        if !template.multiplexed {
            return Err(Status::unimplemented("this front has multiplexed sessions only"));
        }
        Ok(Session { name: format!("{}/sessions/{}", request.database, self.number()), ..template })
    }

    pub(super) fn get_session(&self, request: GetSessionRequest) -> Result<Session, Status> {
        self.database_of(&request.name)?;
        Ok(Session { name: request.name, multiplexed: true, ..Session::default() })
    }
}
