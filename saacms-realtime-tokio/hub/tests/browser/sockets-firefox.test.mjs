import { socketTests } from './helpers/socket-tests.mjs';

socketTests('firefox');
