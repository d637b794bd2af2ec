import { PluginError } from '../errors.js'
import { type Refusal, maxId } from './preamble.js'

/** What a dialler is told when the acceptor's answer is a refusal. */
export function refused(id: number, refusal: Refusal, acceptTimeoutMs: number): PluginError {
  switch (refusal) {
    case 'timeout':
      return new PluginError(
        'ERR_BROKER_TIMEOUT',
        `broker ID ${id}: the other side did not accept it in time (${acceptTimeoutMs} ms by default)`,
        {
          id,
          hint:
            `Check that the other side serves ID ${id} before or soon after it hands the number out, that the ID ` +
            'was not closed, and that it was minted by the side that accepts: each side counts its own IDs.'
        }
      )
    case 'busy':
      return new PluginError(
        'ERR_BROKER_REFUSED',
        `broker ID ${id}: too many dials wait for an accept there`,
        {
          id,
          hint: 'Accept an ID before handing it out, or dial fewer unaccepted IDs at once.'
        }
      )
    case 'closed':
      return new PluginError('ERR_BROKER_CLOSED', `broker ID ${id}: the other side is closing`, {
        id,
        hint: 'Stop dialling once the host has begun to close the plugin.'
      })
    case 'ended':
      return new PluginError('ERR_STREAM_CLOSED', `broker ID ${id}: the other side has closed the service`, {
        id,
        hint: 'The side that serves owns a service and may end it: ask for it again, or do without.'
      })
    case 'unsupported':
      return new PluginError(
        'ERR_BROKER_REFUSED',
        `broker ID ${id}: the other side does not know this wire`,
        {
          id,
          hint: 'Dial with a wire that both ends listed in the handshake, and update the older of the two ends.'
        }
      )
  }
}

export function badAnswer(id: number, byte: number): PluginError {
  return new PluginError(
    'ERR_BROKER_REFUSED',
    `broker ID ${id}: the answer 0x${byte.toString(16)} is unknown`,
    {
      id,
      hint: 'The other end speaks a newer or different protocol: use the same release on both ends.'
    }
  )
}

export function noAnswer(id: number): PluginError {
  return new PluginError(
    'ERR_STREAM_CLOSED',
    `broker ID ${id}: the other side ended the substream without an answer`,
    {
      id,
      hint: 'Look at the log of the other side: it may be closing, or may not speak this protocol.'
    }
  )
}

export function idTaken(id: number): PluginError {
  return new PluginError('ERR_BROKER_ID_TAKEN', `broker ID ${id} is accepted already`, {
    id,
    hint: 'Take a fresh ID from nextId(), or close the service that holds this one first.'
  })
}

export function brokerClosed(id?: number): PluginError {
  return new PluginError('ERR_BROKER_CLOSED', 'the broker is closed', {
    ...(id === undefined ? {} : { id }),
    hint: 'The plugin has been closed or has ended: launch it again to go on.'
  })
}

export function badId(id: number): PluginError {
  return new PluginError('ERR_CONFIG_INVALID', `${String(id)} is not a broker ID`, {
    hint: 'Broker IDs are whole numbers from 0 to 4294967295; 0 is the main server.'
  })
}

/** @throws `ERR_CONFIG_INVALID` for a number that is no broker ID */
export function checkId(id: number): void {
  if (!Number.isInteger(id) || id < 0 || id > maxId) throw badId(id)
}

/** One more dial than may wait on this side. */
export function tooManyDials(id: number): PluginError {
  return new PluginError('ERR_BROKER_REFUSED', `broker ID ${id}: too many dials wait for their accepts`, {
    id,
    hint: 'Dial an ID once the other side has handed it out, or fewer unaccepted IDs at once.'
  })
}

/** ID 0, on go-plugin's transports, where it is the plugin's alone. */
export function noMainServer(): PluginError {
  return new PluginError('ERR_BROKER_REFUSED', 'broker ID 0 is the main server, which only plugins have', {
    id: 0,
    hint: 'A host serves under an ID from nextId(): send that one to the plugin.'
  })
}

/** The link of go-plugin's brokers is over, and nothing can be announced or knocked for any more. */
export function linkEnded(id: number, cause: Error): PluginError {
  return new PluginError(
    'ERR_BROKER_CLOSED',
    `broker ID ${id}: the link to the other side's broker has ended`,
    {
      id,
      cause,
      hint: 'The other side has ended, or does not offer plugin.GRPCBroker.'
    }
  )
}
