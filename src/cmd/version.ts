import pkg from '../../package.json' with { type: 'json' };

/** Version of the controller, from package.json. */
export const version: string = pkg.version;
