/**
 * Which requests belong together, and go to the same Pod.
 *
 *   sessionPersistence of a rule -> Session -> xds/translate/session (a token that the client keeps), xds/filters/stateful-session
 *
 * Names are unique to the rule unless the user gave one. A lifetime in milliseconds ends the session, however much it is used.
 */
export type Session =
  | {
      readonly type: 'cookie';
      readonly name: string;
      /** Absent: until the client forgets it, as a browser does when it is closed. */
      readonly lifetimeMs?: number;
    }
  | { readonly type: 'header'; readonly name: string };
